# For run_mpi.sh: starts a launcher, passes signals on to it, and ends it when a host has fallen silent or nobody is left. Sourced, not run.
# shellcheck shell=bash

process="" # the process that signals go to
# shellcheck disable=SC2034  # run_mpi.sh reads it
stopping="" # the signal that asked for the end; nothing is relaunched after it
interrupted=0

say() { echo "run_mpi.sh: $*" >&2; }

# Of a kind only the first is passed on: groups of processes and schedulers often send several, and a shell that is told twice while the launcher
# ends may wait for it forever.
pass_signals_on() {
    trap 'trap "" TERM INT HUP; pass_on TERM' TERM INT HUP
    trap 'trap "" USR1; pass_on USR1' USR1
}

# shellcheck disable=SC2317,SC2034  # the traps call it
pass_on() {
    interrupted=1 stopping=$1
    [ -z "$process" ] || kill "-$1" "$process" 2>/dev/null || true
}

# Waits for the process, also where traps interrupt the waiting, and returns its exit code.
await_process() {
    local code
    while :; do
        interrupted=0 code=0
        { wait "$process" || code=$?; } 2>/dev/null # bash has something to say about killed processes
        ((interrupted)) || break
    done
    process=""
    return "$code"
}

# launch SECONDS COMMAND...: runs COMMAND; a host that is silent for SECONDS is lost.
launch() {
    local watcher="" code=0 seconds=$1
    shift
    "$@" <&0 &
    process=$!
    if [ "$1" = mpirun ]; then
        end_when_unheard "$process" "$seconds" &
        watcher=$!
        disown "$watcher"
    fi
    await_process || code=$?
    # KILL, because whoever started this script may have blocked TERM.
    [ -z "$watcher" ] || kill -KILL "$watcher" 2>/dev/null || true
    return "$code"
}

pause() {
    sleep "$1" >/dev/null 2>&1 &
    process=$!
    await_process || true
}

# mpirun notices a lost host by TCP keepalive, which rests while sent data waits for its acknowledgement: the kernel then repeats the data for a
# quarter of an hour, and mpirun stays as long. This ends it after SECONDS without an answer; its daemons on the other hosts end with it.
# It also ends an mpirun whose processes have all ended: when a rank dies while it connects, PMIx 4.2 may lock itself out as it shuts down.
end_when_unheard() {
    local mpirun=$1 seconds=$2 silent=0 why="" family
    while sleep 2 >/dev/null 2>&1; do
        if is_unheard "$mpirun"; then
            why="a connection to another host has been silent for $seconds s"
        elif has_nobody "$mpirun"; then
            why="mpirun has not ended within $seconds s of its processes"
        else
            silent=0
            continue
        fi
        ((silent += 2))
        ((silent < seconds)) && continue
        say "$why; ending mpirun"
        family=$(family_of "$mpirun")
        # shellcheck disable=SC2086  # process ids
        kill -KILL $family 2>/dev/null || true
        return
    done
}

# mpirun, its launch agents and the ranks on this host.
family_of() {
    echo "$1"
    ps -o pid= --ppid "$1" || true
}

# Whether mpirun had processes and all of them have ended.
has_nobody() {
    local states
    states=$(ps -o stat= --ppid "$1" || true)
    [ -n "$states" ] && ! grep -qv '^Z' <<<"$states"
}

# Whether a TCP connection of mpirun's family has sent the same data four times (3 s at the least) without an answer.
is_unheard() {
    local member tables
    tables=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true)
    for member in $(family_of "$1"); do
        find "/proc/$member/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n'
    done | awk 'FILENAME == "-" { own[$1]; next }
        # The columns: 6 timer (01 is retransmission) and when it fires, 7 retransmissions in hexadecimal, 10 inode.
        $6 ~ /^01:/ && $7 >= "00000004" && $10 in own { found = 1 }
        END { exit !found }' - <(echo "$tables")
}
