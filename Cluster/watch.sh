#!/usr/bin/env bash
# For run_mpi.sh: watches one launch from outside, and ends it when nobody waits for it any more, when a host has fallen silent, or when mpirun hangs.
#
# usage: watch.sh LAUNCHER PARENT PROCESS LAUNCH SECONDS DIRECTORY
#
# PARENT is run_mpi.sh, PROCESS its LAUNCHER (mpirun or srun), LAUNCH the name of the launch, SECONDS its patience, DIRECTORY that of its files.
# Processes are known by number and beginning, so that none is ended that has got the number of another.
set -uo pipefail
trap '' HUP INT TERM USR1 USR2

# shellcheck source=Cluster/leftovers.sh
. "$(dirname "${BASH_SOURCE[0]}")/leftovers.sh"

launcher=$1 parent=$2 process=$3 launch=$4 seconds=$5 scratch=$6
parent_start=$(start_of "$parent") process_start=$(start_of "$process")
echo "$$ $(start_of $$)" >"$scratch/watcher"

say() { echo "run_mpi.sh: $*" >&2; }

children() { ps -o "$2" --ppid "$1" || true; }

# The ranks that mpirun has started on this host and that are there.
ranks() {
    local child
    for child in $(children "$process" pid=); do
        ! grep -qsz '^OMPI_COMM_WORLD_RANK=' "/proc/$child/environ" || echo "$child"
    done
}

# Whether the process had children and all of them have ended.
has_nobody() {
    local states
    states=$(children "$process" stat=)
    [ -n "$states" ] && ! grep -qv '^Z' <<<"$states"
}

# Whether a TCP connection of mpirun or its launch agents has sent the same data four times (3 s at the least) without an answer.
is_unheard() {
    local member tables
    tables=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true)
    for member in "$process" $(children "$process" pid=); do
        find "/proc/$member/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n'
    done | awk 'FILENAME == "-" { own[$1]; next }
        # The columns: 6 timer (01 is retransmission) and when it fires, 7 retransmissions in hexadecimal, 10 inode.
        $6 ~ /^01:/ && $7 >= "00000004" && $10 in own { found = 1 }
        END { exit !found }' - <(echo "$tables")
}

# Shared memory of the ranks, which nobody removes when they and mpirun are killed.
note_segments() {
    local rank
    for rank in $1; do
        grep -shoE '/dev/shm/(vader|sm)_segment\.[^ /]*$' "/proc/$rank/maps" || true
    done | sort -u >"$scratch/segments.new"
    [ ! -s "$scratch/segments.new" ] || mv "$scratch/segments.new" "$scratch/segments"
}

# Sets `why` to what is wrong now; to nothing if all is well.
look() {
    local here count
    here=$(ranks)
    count=$(wc -w <<<"$here")
    ((count <= most)) || most=$count
    # They make it while they begin.
    ((SECONDS - began > 60)) || note_segments "$here"
    if is_unheard; then
        why="a connection to another host has been silent for $seconds s"
    elif has_nobody || ((count < most)) || [ -e "$scratch/ending" ]; then
        why="mpirun has not ended within $seconds s of its processes"
    else
        why=""
    fi
}

# mpirun notices a lost host by TCP keepalive, which rests while sent data waits for its acknowledgement: the kernel then repeats the data for a
# quarter of an hour, and mpirun stays as long. When a rank dies while it connects, PMIx 4.2 may lock itself out as it shuts down, and mpirun stays for
# ever. Daemons on other hosts end with their mpirun.
began=$SECONDS since="" most=0 why=""
while is_alive "$process" "$process_start"; do
    if ! is_alive "$parent" "$parent_start"; then
        kill -TERM "$process" 2>/dev/null
        for ((tries = 0; tries < 10; tries++)); do
            ! is_alive "$process" "$process_start" || sleep 1 >/dev/null 2>&1
        done
        break
    fi
    if [ "$launcher" = mpirun ]; then
        look
        [ -n "$why" ] || since=""
        if [ -n "$why" ]; then
            since=${since:-$SECONDS}
            if ((SECONDS - since >= seconds)); then
                say "$why; ending mpirun"
                kill -KILL "$process" 2>/dev/null
                end_members "$launch"
                exit
            fi
        fi
    fi
    if ((SECONDS - began < 5)); then sleep 0.25; else sleep 1; fi >/dev/null 2>&1
done
is_alive "$parent" "$parent_start" && exit
end_members "$launch"
remove_scratch "$scratch"
