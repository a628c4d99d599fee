#!/usr/bin/env bash
# Makes a Debian or Ubuntu machine ready to build Cleave: checks Swift, installs the missing packages, says what it does.
set -euo pipefail

case ${MPI:-openmpi} in
    openmpi) mpi=(libopenmpi-dev openmpi-bin) ;;
    mpich) mpi=(libmpich-dev mpich) ;;
    *) echo "setup: MPI must be openmpi or mpich, found '$MPI'" >&2 && exit 64 ;;
esac
packages=(gcc "${mpi[@]}" libopenblas-openmp-dev libdnnl-dev libxxhash-dev libonig-dev pkg-config)

fail() {
    echo "setup: $*" >&2
    exit 69
}

command -v swift >/dev/null || fail "Swift 6.1 or later is needed and \`swift\` is not on the PATH; install it from https://www.swift.org/install/linux"
version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+)\.([0-9]+).*/\1 \2/p' | head -n 1)
read -r major minor <<<"${version:-0 0}"
if ((major < 6 || (major == 6 && minor < 1))); then
    fail "Swift 6.1 or later is needed, found $major.$minor; install a newer one from https://www.swift.org/install/linux"
fi

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0

command -v apt-get >/dev/null || fail "these libraries are missing, and there is no apt-get to install them with: ${missing[*]}"
elevate=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "run as root: apt-get install ${missing[*]}"
    elevate=(sudo)
fi
echo "setup: installing ${missing[*]}" >&2
log=$(mktemp)
if ! { "${elevate[@]}" apt-get update && "${elevate[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install: ${missing[*]} (its log: $log)"
fi
rm -f "$log"
