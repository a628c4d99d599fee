# For run_mpi.sh: starts a launcher under supervision, passes signals on to it, and leaves nobody behind. Sourced, not run.
# shellcheck shell=bash

process="" # the process that signals go to
# shellcheck disable=SC2034  # run_mpi.sh reads it
stopping="" # the signal that asked for the end; nothing is relaunched after it
interrupted=0
launches=0

say() { echo "run_mpi.sh: $*" >&2; }

# Of a kind only the first is passed on: groups of processes and schedulers often send several, and a shell that is told twice while the launcher
# ends may wait for it forever. A signal that is ignored from the start, as `nohup` does with HUP, stays so: bash sets no trap for it.
pass_signals_on() {
    local signal
    for signal in TERM INT HUP; do
        # shellcheck disable=SC2064  # the name is known now
        trap "trap '' TERM INT HUP; pass_on $signal TERM" "$signal"
    done
    trap 'trap "" USR1; pass_on USR1 USR1' USR1
    trap suspend TSTP
}

# pass_on SIGNAL AS: mpirun ends ranks at TERM alone in good order.
# shellcheck disable=SC2317,SC2034  # the traps call it
pass_on() {
    interrupted=1 stopping=$1
    : >"$scratch/stopping"
    [ "$2" != TERM ] || : >"$scratch/ending"
    [ -z "$process" ] || kill "-$2" "$process" 2>/dev/null || true
}

# The terminal's Ctrl-Z: the ranks rest, and the shell that waits for this script has its prompt back, until `fg` or `bg`.
# shellcheck disable=SC2317
suspend() {
    interrupted=1
    [ -z "$process" ] || kill -TSTP "$process" 2>/dev/null || true
    kill -STOP $$
    [ -z "$process" ] || kill -CONT "$process" 2>/dev/null || true
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

# launch SECONDS COMMAND...: runs COMMAND; a host that is silent for SECONDS is lost. COMMAND has a session of its own: the terminal's signals and those
# to this script's group come by way of this script. The kernel tells it when this script is gone, and Cluster/watch.sh sees to it that it ends then.
launch() {
    local code=0 seconds=$1 name watcher reader tries guard=(setsid)
    shift
    name=$(hostname)-$$-$(start_of $$)-$((++launches))
    echo "$name" >"$scratch/launch"
    rm -f "$scratch"/{ending,verdict,said,held,stderr}
    mkfifo "$scratch/stderr"
    ! command -v setpriv >/dev/null || guard+=(setpriv --pdeathsig TERM)
    # Who has no terminal may not read from it.
    if [ -t 0 ] || ! { exec 3<&0; } 2>/dev/null; then exec 3</dev/null; fi
    setsid perl "$root/Cluster/messages.pl" "$scratch" <"$scratch/stderr" >&2 3<&- &
    reader=$!
    # mpirun keeps its files in TMPDIR; on other hosts in theirs.
    CLEAVE_LAUNCH=$name TMPDIR=$scratch "${guard[@]}" "$@" <&3 2>"$scratch/stderr" 3<&- &
    process=$!
    setsid bash "$root/Cluster/watch.sh" "$launcher" $$ "$process" "$name" "$seconds" "$scratch" </dev/null >/dev/null 3<&- &
    watcher=$!
    disown "$watcher" # no word of its end
    await_process || code=$?
    # KILL, because whoever started this script may have blocked TERM.
    kill -KILL "$watcher" 2>/dev/null || true
    end_members "$name"
    # The reader ends with the last of them, unless somebody else has got hold of its pipe.
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$reader" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$reader" 2>/dev/null || true
    return "$code"
}

pause() {
    sleep "$1" >/dev/null 2>&1 &
    process=$!
    await_process || true
}
