#!/usr/bin/env bash
# Makes a machine ready to build Cleave: looks for Swift and the C libraries, and says what is missing or, with --install, installs that.
#
#     setup.sh [--install] [FOLDER]
#
# FOLDER (default .build) is the build folder: FOLDER/libraries/flags will hold what `swift build` must be told to find the libraries, nothing where
# pkg-config knows them. MPI=mpich looks for MPICH instead of Open MPI. docs/building.md says how libraries are found. Exit code 69: something is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "setup: $*" >&2
    exit 69
}

install=0
if [ "${1:-}" = --install ]; then install=1 && shift; fi
folder=${1:-.build}
case ${MPI:-openmpi} in
    openmpi | mpich) ;;
    *) echo "setup: MPI must be openmpi or mpich, found '$MPI'" >&2 && exit 64 ;;
esac

command -v swift >/dev/null || fail "Swift 6.1 or later is needed and \`swift\` is not on the PATH; install it from https://www.swift.org/install/linux"
version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+)\.([0-9]+).*/\1 \2/p' | head -n 1)
read -r major minor <<<"${version:-0 0}"
if ((major < 6 || (major == 6 && minor < 1))); then
    fail "Swift 6.1 or later is needed, found $major.$minor; install a newer one from https://www.swift.org/install/linux"
fi

# shellcheck source=Cluster/libraries.sh
. Cluster/libraries.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
doors=(CMPI COpenBLAS COneDNN CXXHash COniguruma CZlib CZstd CSnappy)

# Sets `missing` (what to tell the user) and `packages` (what to install).
look() {
    missing=() packages=() found_flags=()
    find_compiler
    echo 'int main(void) { return 0; }' >"$work/empty.c"
    if ! "$compiler" "$work/empty.c" -o "$work/empty" >"$work/empty.log" 2>&1; then
        missing+=("a C compiler and linker ($compiler: $(grep -m 1 -E 'error|not found' "$work/empty.log" || tail -n 1 "$work/empty.log"))") packages+=(gcc)
    fi
    local door
    for door in "${doors[@]}"; do
        find_library "$door" && continue
        missing+=("${library_title[$door]}: $(grep -m 1 -E 'error' "$work/$door.log" | sed -E 's/^.*(fatal )?error: //' || tail -n 1 "$work/$door.log")")
        # shellcheck disable=SC2206
        packages+=(${library_packages[$door]})
    done
    if [ -n "${found_flags[COpenBLAS]:-}" ] && [ -n "${found_flags[COneDNN]:-}" ] && (($(openmp_runtimes | wc -l) > 1)); then
        fail "OpenBLAS and oneDNN are built with different OpenMP runtimes, which cannot be confined together: $(openmp_runtimes | tr '\n' ' ')"
    fi
    # A cluster may start ranks by srun alone.
    local launcher=mpirun
    [ "${MPI:-openmpi}" = openmpi ] || launcher=mpirun.mpich
    if ! command -v "$launcher" mpirun srun >/dev/null && [[ " ${packages[*]} " != *" ${library_packages[CMPI]##* } "* ]]; then
        missing+=("mpirun or srun, to start ranks") packages+=("${library_packages[CMPI]##* }")
    fi
    # SwiftPM asks it where Debian keeps the libraries.
    ((${#packages[@]} == 0)) || command -v pkg-config >/dev/null || packages+=(pkg-config)
}

look
if ((${#missing[@]} > 0)) && ((install)); then
    command -v apt-get >/dev/null || fail "not found, and there is no apt-get to install with (see docs/building.md):"$'\n'"$(printf '  %s\n' "${missing[@]}")"
    elevate=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "run as root: apt-get install ${packages[*]}"
        elevate=(sudo)
    fi
    echo "setup: installing ${packages[*]}" >&2
    log=$(mktemp)
    if ! { "${elevate[@]}" apt-get update && "${elevate[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y "${packages[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install: ${packages[*]} (its log: $log)"
    fi
    rm -f "$log"
    look
fi
if ((${#missing[@]} > 0)); then
    advice="docs/building.md says how libraries are found"
    ((install)) || ! command -v apt-get >/dev/null || advice="\`make setup\` installs ${packages[*]}; $advice"
    fail "not found:"$'\n'"$(printf '  %s\n' "${missing[@]}")"$'\n'"  ($advice)"
fi
write_flags "$folder/libraries"
