#!/usr/bin/env bash
# Runs the README's two commands, or others, in a clone of HEAD on a fresh Debian or Ubuntu: a chroot made with debootstrap.
#
#     run.sh RELEASE [COMMAND...]
#
# RELEASE is a release that a mirror of apt's own sources, or MIRROR, has (bookworm, trixie, noble, ...). Each COMMAND is a shell command; the default is `./run_mpi.sh` and
# `make test`. The chroot holds what swift.org lists as needed by Swift, no library of Cleave's. Swift is this machine's own, and Swift packages come from
# clones made with this machine's git. Needs root, and debootstrap, which apt-get installs where it is missing. Environment:
#   CHROOT   a folder to make the chroot in, or to use again; it is kept. Otherwise it is a temporary folder, deleted at the end
#   MIRROR   a mirror of Debian or Ubuntu that has RELEASE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "run.sh: $*" >&2
    exit 69
}

# Swift's own needs, tools that the tests look for, and what a clone needs.
packages=(
    ca-certificates git make g++ libc6-dev libcurl4-openssl-dev libedit2 libncurses-dev libsqlite3-0 libxml2-dev tzdata zlib1g-dev
    iproute2 iptables openssh-client procps python3 sudo util-linux)

# Sets `mirror` to one among apt's sources, or MIRROR, that has the release; $scratch/InRelease describes it.
find_mirror() {
    for mirror in ${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u)}; do
        mirror=${mirror%/}
        ! /usr/lib/apt/apt-helper download-file "$mirror/dists/$release/InRelease" "$scratch/InRelease" >/dev/null 2>&1 || return 0
    done
    fail "the release $release is not on ${MIRROR:-any mirror that apt knows}; MIRROR names a mirror that has it"
}

make_chroot() {
    local proxy="" url options=() script scripts
    command -v debootstrap >/dev/null || { command -v apt-get >/dev/null && { apt-get update && apt-get install -y debootstrap; } >"$scratch/log" 2>&1; } ||
        fail "debootstrap is missing and apt-get cannot install it"
    find_mirror
    script=sid
    # Half of Cleave's libraries are in Ubuntu's universe.
    ! grep -q '^Origin: Ubuntu' "$scratch/InRelease" || { script=gutsy && options=(--components=main,universe); }
    # A debootstrap that is older than the release makes it like those before.
    scripts=/usr/share/debootstrap/scripts
    [ ! -e "$scripts/$release" ] || script=$release
    echo "run.sh: making a chroot of $release from $mirror" >&2
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || export http_proxy=$proxy
    debootstrap --variant=minbase "${options[@]}" --include="$(IFS=,; echo "${packages[*]}")" "$release" "$chroot" "$mirror" "$scripts/$script" >"$scratch/log" 2>&1 ||
        { tail -n 20 "$scratch/log" >&2 && fail "debootstrap could not make a chroot of $release"; }
    # How this machine's apt reaches its mirrors.
    apt-config dump Acquire | grep -v '^Acquire "";$' >"$chroot/etc/apt/apt.conf.d/90host"
    for url in $(sed -nE 's|.*url: "https://github.com/([^"]+)".*|\1|p' Package.swift); do
        git clone -q --mirror "https://github.com/$url" "$chroot/var/lib/swift-packages/$url" || fail "cannot clone https://github.com/$url"
    done
    chroot "$chroot" git config --system url./var/lib/swift-packages/.insteadOf https://github.com/
    chroot "$chroot" git config --system safe.directory '*'
    touch "$chroot/made"
}

run_inside() {
    local toolchain status=0 mounted
    toolchain=$(swift -print-target-info | sed -nE 's/.*"runtimeResourcePath": "(.*)\/lib\/swift".*/\1/p')
    mkdir -p "$chroot/opt/swift/usr"
    mount --bind -o ro "$toolchain" "$chroot/opt/swift/usr"
    for mounted in dev sys; do mount --rbind "/$mounted" "$chroot/$mounted"; done
    mount -t proc proc "$chroot/proc"
    mount -t tmpfs tmpfs "$chroot/run"
    for command in "${commands[@]}"; do
        echo "run.sh: $release: $command" >&2
        chroot "$chroot" env -i HOME=/root LC_ALL=C.UTF-8 CI="${CI:-}" PATH=/opt/swift/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            bash -c 'cd /root/cleave && eval "$1"' bash "$command" || { status=$? && echo "run.sh: $release: exit code $status of: $command" >&2 && break; }
    done
    return "$status"
}

if [ "${1:-}" = --inside ]; then
    scratch=$2 release=$3
    shift 3
    commands=("$@")
    ((${#commands[@]})) || commands=(./run_mpi.sh "make test")
    chroot=${CHROOT:-$scratch/chroot}
    [ -e "$chroot/made" ] || make_chroot
    cp /etc/resolv.conf /etc/hosts "$chroot/etc/"
    rm -rf "$chroot/root/cleave"
    git clone -q . "$chroot/root/cleave"
    run_inside
    exit
fi

: "${1:?usage: run.sh RELEASE [COMMAND...]}"
((EUID == 0)) || fail "a chroot needs root"
command -v swift >/dev/null || fail "Swift is needed: the chroot uses this machine's"
scratch=$(mktemp -d)
trap 'rm -rf --one-file-system "$scratch"' EXIT
# In a mount and a process namespace of their own: what is mounted and started there ends with them, so that nothing is mounted below the folder that is
# deleted.
unshare --mount --propagation private --pid --fork --kill-child --mount-proc Tests/Platforms/run.sh --inside "$scratch" "$@" &
# unshare passes no signal on, but everything inside ends with it.
trap 'kill -KILL $! && wait; exit 143' INT TERM HUP
wait $!
