# For run_mpi.sh: a directory for the files of its launches, and those that earlier runs could not remove. Sourced, not run.
# shellcheck shell=bash

# When a process began, in the kernel's clock ticks: with its number, this names a process for good. Nothing for one that has ended.
start_of() {
    local text
    text=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The name, in brackets, may hold anything.
    awk '$1 != "Z" && $1 != "X" { print $20 }' <<<"${text##*) }"
}

# Whether the process NUMBER that began at START is still there.
is_alive() { [ -n "$2" ] && [ "$(start_of "$1")" = "$2" ]; }

# Where launches keep their files. Open MPI makes sockets there, whose paths may have 107 characters.
temporary=${TMPDIR:-/tmp}
((${#temporary} <= 50)) || temporary=/tmp

# Where process numbers are ours: several hosts, or containers of one, may share the directory.
here() { echo "$(hostname) $(readlink /proc/self/ns/pid)"; }

# Sets `scratch`.
make_scratch() {
    scratch=$(mktemp -d "$temporary/cleave-mpi.XXXXXX") || refuse 73 "cannot make a directory in $temporary"
    echo "$$ $(start_of $$) $(here)" >"$scratch/owner"
}

# remove_scratch DIRECTORY: with the shared memory of ranks that could not remove it.
remove_scratch() {
    local segment
    while read -r segment; do
        [[ $segment =~ ^/dev/shm/(vader|sm)_segment\.[^/]*$ ]] && [ -O "$segment" ] && rm -f "$segment"
    done < <(cat "$1/segments" 2>/dev/null)
    rm -rf "$1"
}

# Removes what launches left that were killed with all that watched over them; their processes, too, if any are left.
remove_leftovers() {
    local directory owner start place name segment
    for directory in "$temporary"/cleave-mpi.*; do
        [ -O "$directory" ] && [ -f "$directory/owner" ] || continue
        read -r owner start place <"$directory/owner" || continue
        [ "$place" = "$(here)" ] || continue
        ! is_alive "$owner" "$start" || continue
        # Its watcher may be at it.
        read -r owner start < <(cat "$directory/watcher" 2>/dev/null) || true
        ! is_alive "$owner" "$start" || continue
        name=$(cat "$directory/launch" 2>/dev/null) || true
        [ -z "$name" ] || end_members "$name"
        remove_scratch "$directory"
    done
    # Shared memory of a minute ago and more that no process has mapped: ranks take a moment to find it, and keep it once they have.
    while read -r segment; do
        grep -qsF "$segment" /proc/[0-9]*/maps || rm -f "$segment"
    done < <(find /dev/shm -maxdepth 1 -type f -user "$EUID" -regextype posix-extended -regex '.*/(vader|sm)_segment\..*' -mmin +1 2>/dev/null)
}

# members_of LAUNCH: the processes on this host that a launch started and all that they started, by what their environment says.
members_of() {
    { grep -lszxF "CLEAVE_LAUNCH=$1" /proc/[0-9]*/environ || true; } | cut -d / -f 3
}

# end_members LAUNCH: kills them, those too that others start meanwhile.
end_members() {
    local members tries
    for ((tries = 0; tries < 20; tries++)); do
        members=$(members_of "$1")
        [ -n "$members" ] || return 0
        # shellcheck disable=SC2086  # process ids
        kill -KILL $members 2>/dev/null || true
        sleep 0.1 >/dev/null 2>&1
    done
}
