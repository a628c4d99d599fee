#!/usr/bin/env bash
# Builds Cleave and runs it over MPI ranks; without arguments it compresses the embedded demo model.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
usage: run_mpi.sh [--ranks N] [--threads T] [--hostfile F] [--launcher L] [--retries R] [--host-timeout S]
                  [--bind B] [--install] [--] CLEAVE-ARGUMENTS
       run_mpi.sh                     install what is missing, then compress, verify and evaluate the embedded demo model on 2 ranks

  --ranks N         MPI ranks (default 2; under Slurm the number of tasks of the job)
  --threads T       threads of each rank (default 1)
  --hostfile F      Open MPI hostfile: lines such as `node1 slots=4`
  --launcher L      srun or mpirun (default: srun in a Slurm job that speaks PMIx, unless a hostfile is given; else mpirun)
  --retries R       relaunch up to R times after a crash or the loss of a host (default 0); what is committed is kept
  --host-timeout S  under mpirun: a host that is silent for S seconds is lost, and the job ends (default 30, at least 6)
  --bind B          under mpirun, the cores of a rank: auto (default: T cores of its own where the ranks of a host take all cores that they may use,
                    else any of them, as another program may compute beside), core (T of its own wherever there are enough), none (any)
  --install         install libraries that are missing before building, where apt is; without CLEAVE-ARGUMENTS install and build only
  --help            this text; `run_mpi.sh -- --help` is the help of cleave itself

Every launch is watched: it ends with this script, whatever becomes of it, and an mpirun that hangs ends S seconds after its ranks. Ctrl-Z lets the ranks
rest until `fg`. What mpirun has to say is one line: the reason, the rank, its host and the signal.

A relaunch leaves out hosts of the hostfile that do not answer the launch agent (ssh, or what Open MPI is told to use) and, if their slots are needed,
runs fewer ranks: the result does not depend on it. Nothing is relaunched after an error that it cannot mend (64, 65, 66, 69, 72, 73, 77, 78), after
75 (stopped in good order: somebody wished it; the same command resumes), or after INT, TERM, HUP or USR1. TERM ends the ranks at once; USR1 asks
them to stop in good order.

Exit codes: that of the last launch, which is cleave's own (`run_mpi.sh -- --help`) or one of these:
  64                usage: an option, a hostfile, fewer slots than ranks
  69                mpirun, or the program on one of the hosts, is missing or cannot be executed
  129, 130, 143     ended by HUP, INT, TERM
  137               a rank was killed (SIGKILL: by somebody, or by the kernel for its memory), or a launch that hung
  128 + N           a rank was ended by signal N
  205, 255          a host was lost or could not be reached

Environment: CLEAVE_BINARY runs that program instead of building one; MPIRUN_FLAGS are passed to mpirun; CLEAVE_JOB_ID (default: the Slurm job, else
a new one) names the job to all its launches. mpirun is that of Open MPI 4.1 or 5.
TEXT
}

# refuse CODE MESSAGE
refuse() {
    echo "run_mpi.sh: $2" >&2
    exit "$1"
}

fail() { refuse 64 "$*"; }

is_count() { [[ $1 =~ ^[1-9][0-9]{0,8}$ ]]; }

ranks="" threads=1 hostfile="" launcher="" retries=0 host_timeout=30 bind=auto demo=$(($# == 0)) install=$(($# == 0))
while (($#)); do
    case $1 in
        --ranks | --threads | --hostfile | --launcher | --retries | --host-timeout | --bind) (($# > 1)) || fail "$1 needs a value" ;;&
        --ranks) ranks=$2 && shift 2 ;;
        --threads) threads=$2 && shift 2 ;;
        --hostfile) hostfile=$2 && shift 2 ;;
        --launcher) launcher=$2 && shift 2 ;;
        --retries) retries=$2 && shift 2 ;;
        --host-timeout) host_timeout=$2 && shift 2 ;;
        --bind) bind=$2 && shift 2 ;;
        --install) install=1 && shift ;;
        --help | -h) usage && exit 0 ;;
        --) shift && break ;;
        -*) fail "unknown option $1 (arguments of cleave come after --)" ;;
        *) break ;;
    esac
done
ranks=${ranks:-${SLURM_NTASKS:-2}}
is_count "$ranks" || fail "--ranks must be a whole number of at least 1, found '$ranks'"
is_count "$threads" || fail "--threads must be a whole number of at least 1, found '$threads'"
[ "$retries" = 0 ] || is_count "$retries" || fail "--retries must be a whole number of at least 0, found '$retries'"
{ is_count "$host_timeout" && ((host_timeout >= 6)); } || fail "--host-timeout must be a whole number of at least 6, found '$host_timeout'"
[[ $bind =~ ^(auto|core|none)$ ]] || fail "--bind must be auto, core or none, found '$bind'"
[ -z "$hostfile" ] || [ -r "$hostfile" ] || fail "cannot read the hostfile $hostfile"

if [ -z "$launcher" ]; then
    launcher=mpirun
    [ -z "${SLURM_JOB_ID:-}" ] || [ -n "$hostfile" ] || ! srun --mpi=list 2>&1 | grep -qw pmix || launcher=srun
fi
case $launcher in
    mpirun) ;;
    srun) [ -z "$hostfile" ] || fail "srun takes its hosts from the Slurm job, so --hostfile needs --launcher mpirun" ;;
    *) fail "--launcher must be srun or mpirun, found '$launcher'" ;;
esac

binary=${CLEAVE_BINARY:-$root/.build/release/cleave}
if [ -z "${CLEAVE_BINARY:-}" ]; then
    if command -v swift >/dev/null || [ ! -x "$binary" ]; then
        setup=("$root/Cluster/setup.sh")
        ((install == 0)) || setup+=(--install)
        "${setup[@]}"
        [ -x "$binary" ] || echo "run_mpi.sh: building (the first time takes a few minutes)" >&2
        log=$(mktemp)
        (cd "$root" && swift build -c release $(cat .build/libraries/flags) --product cleave) >"$log" 2>&1 || { cat "$log" >&2 && exit 70; }
        rm -f "$log"
    fi
fi

arguments=("$@")
if ((demo)); then
    cd "$root"
    arguments=(compress Configs/demo.yaml)
elif ((${#arguments[@]} == 0)); then
    ((install == 0)) || exit 0
    fail "no arguments for cleave"
fi
# One rank's work.
[[ ${arguments[0]} != inspect && ${arguments[0]} != tokenize ]] || ranks=1
[ -n "$hostfile" ] || [ -x "$(command -v "$binary")" ] || refuse 69 "cannot run $binary: the file is missing, or cannot be executed"

export OMP_NUM_THREADS=$threads
export CLEAVE_JOB_ID=${CLEAVE_JOB_ID:-${SLURM_JOB_ID:-$(hostname)-$$-$(date +%s)}}
# Launchers put pipes between the ranks and the terminal, so cleave cannot see it by itself.
[ -t 2 ] && export CLEAVE_PROGRESS=${CLEAVE_PROGRESS:-bar}

for part in leftovers mpirun supervise hosts; do
    # shellcheck source=/dev/null
    . "$root/Cluster/$part.sh"
done

for program in perl ps setsid; do
    command -v "$program" >/dev/null || refuse 69 "$program is missing: install perl, procps and util-linux"
done
[ "$launcher" = srun ] || find_mpirun
if [ "$launcher" = srun ] || [ "$bind" = none ] || [[ ${MPIRUN_FLAGS:-} == *bind-to* ]]; then
    unset CLEAVE_BIND
else
    export CLEAVE_BIND=$bind
fi

# build_command RANKS HOSTFILE: sets `command`.
build_command() {
    if [ "$launcher" = srun ]; then
        command=(srun --mpi=pmix --kill-on-bad-exit=1 --ntasks="$1" --cpus-per-task="$threads" --cpu-bind=cores)
    else
        build_mpirun "$1" "$2"
    fi
    command+=("$binary" "${arguments[@]}")
    { printf '+' && printf ' %q' "${command[@]}" && echo; } >&2
}

# Another launch cannot mend these: what the user gave, the place of the output, and (75) a wish to stop.
is_final() {
    case $1 in
        0 | 64 | 65 | 66 | 69 | 72 | 73 | 75 | 77 | 78) return 0 ;;
        *) return 1 ;;
    esac
}

# Names the hosts that do not answer; sets `slots` to what the others have, and `hosts` to a hostfile of them.
look_for_hosts() {
    local host
    hosts_that_answer "$hostfile" >"$scratch/answers"
    slots=$(keep_hosts "$hostfile" "$scratch/answers" "$scratch/hostfile")
    hosts=$scratch/hostfile
    while read -r host; do
        say "host $host does not answer"
    done < <(host_lines "$hostfile" | cut -d ' ' -f 1 | sort -u | grep -vxFf <(cut -d ' ' -f 1 "$scratch/answers"))
}

# What a signal did to the ranks comes back as this or that code: USR1 kills those that cannot hear it yet (138), and srun may end a rank that is
# about to exit with 75 because another one just has (137, 143).
exit_stopped() {
    case $stopping:$1 in
        *:0 | *:75) exit "$1" ;;
        USR1:137 | USR1:138 | USR1:143) exit 75 ;;
        HUP:*) exit 129 ;;
        INT:*) exit 130 ;;
        TERM:*) exit 143 ;;
        *) exit "$1" ;;
    esac
}

# What mpirun's messages say of the end of a launch is clearer than its exit code. What MPI itself said of it is shown where nothing else explains it.
explain() {
    if [ -s "$scratch/verdict" ] && { ((code == 0)) || ! is_final "$code"; }; then
        read -r code <"$scratch/verdict"
        return
    fi
    # mpirun 5 may end with 0 all the same.
    ((code != 0)) || [ ! -e "$scratch/said" ] || code=71
    [ -z "$stopping" ] && [ ! -e "$scratch/said" ] && ! is_final "$code" || return 0
    cat "$scratch/held" 2>/dev/null >&2 || true
    # mpirun 5 does not know an option, and has said so on standard output.
    ((code != 213)) || code=64
    ((code <= 128 || code > 192)) || [ "$launcher" = srun ] || say "mpirun itself was ended by signal $((code - 128))"
}

remove_leftovers
make_scratch
trap 'remove_scratch "$scratch"' EXIT
pass_signals_on
given=$hostfile
if [ -n "$hostfile" ]; then
    clean_hostfile "$hostfile" "$scratch/hosts"
    { [ -f "$hostfile" ] && cmp -s "$hostfile" "$scratch/hosts"; } || hostfile=$scratch/hosts
fi
hosts=$hostfile slots=$ranks code=0
for ((attempt = 0; ; attempt++)); do
    if ((slots > 0)); then
        build_command $((slots < ranks ? slots : ranks)) "$hosts"
        code=0
        launch "$host_timeout" "${command[@]}" || code=$?
        explain
        [[ $stopping != @(TERM|INT|HUP) ]] || exit_stopped "$code"
        ! is_final "$code" || exit "$code"
        what="exit code $code"
    else
        what="no host of $given answers"
    fi
    slots=$ranks
    # Inside a Slurm job Slurm reaches the hosts.
    [ -z "$hostfile" ] || [ -n "${SLURM_JOB_ID:-}" ] || look_for_hosts
    [ -z "$stopping" ] || exit_stopped "$code"
    ((attempt < retries)) || break
    say "$what; retry $((attempt + 1)) of $retries in 5 s on $((slots < ranks ? slots : ranks)) of $ranks ranks"
    pause 5
    [ -z "$stopping" ] || exit_stopped 138
done
((retries == 0)) || say "$what; no retry is left"
exit "$code"
