#!/usr/bin/env bash
# Builds Cleave and runs it over MPI ranks; without arguments it compresses the embedded demo model.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
usage: run_mpi.sh [--ranks N] [--threads T] [--hostfile F] [--launcher L] [--retries R] [--host-timeout S] [--] CLEAVE-ARGUMENTS
       run_mpi.sh                     compress, verify and evaluate the embedded demo model on 2 ranks

  --ranks N         MPI ranks (default 2; under Slurm the number of tasks of the job)
  --threads T       threads of each rank (default 1)
  --hostfile F      Open MPI hostfile: lines such as `node1 slots=4`
  --launcher L      srun or mpirun (default: srun in a Slurm job that speaks PMIx, unless a hostfile is given; else mpirun)
  --retries R       relaunch up to R times after a crash or the loss of a host (default 0); what is committed is kept
  --host-timeout S  under mpirun: a host that is silent for S seconds is lost, and the job ends (default 30, at least 6)
  --help            this text; `run_mpi.sh -- --help` is the help of cleave itself

Every rank is bound to T cores of its own where there are enough.

A relaunch leaves out hosts of the hostfile that do not answer the launch agent (ssh, or what Open MPI is told to use) and, if their slots are needed,
runs fewer ranks: the result does not depend on it. Nothing is relaunched after an error that it cannot mend (64, 65, 66, 69, 72, 73, 77, 78), after
75 (stopped in good order: somebody wished it; the same command resumes), or after INT, TERM, HUP or USR1. TERM ends the ranks at once; USR1 asks
them to stop in good order. The exit code is that of the last launch; 205, 255 or 137 after the loss of a host.

Environment: CLEAVE_BINARY runs that program instead of building one; MPIRUN_FLAGS are passed to mpirun; CLEAVE_JOB_ID (default: the Slurm job, else
a new one) names the job to all its launches.
TEXT
}

fail() {
    echo "run_mpi.sh: $*" >&2
    exit 64
}

is_count() { [[ $1 =~ ^[1-9][0-9]{0,8}$ ]]; }

ranks="" threads=1 hostfile="" launcher="" retries=0 host_timeout=30 demo=$(($# == 0))
while (($#)); do
    case $1 in
        --ranks | --threads | --hostfile | --launcher | --retries | --host-timeout) (($# > 1)) || fail "$1 needs a value" ;;&
        --ranks) ranks=$2 && shift 2 ;;
        --threads) threads=$2 && shift 2 ;;
        --hostfile) hostfile=$2 && shift 2 ;;
        --launcher) launcher=$2 && shift 2 ;;
        --retries) retries=$2 && shift 2 ;;
        --host-timeout) host_timeout=$2 && shift 2 ;;
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
        "$root/Cluster/setup.sh"
        [ -x "$binary" ] || echo "run_mpi.sh: building (the first time takes a few minutes)" >&2
        log=$(mktemp)
        (cd "$root" && swift build -c release --product cleave) >"$log" 2>&1 || { cat "$log" >&2 && exit 70; }
        rm -f "$log"
    fi
fi

arguments=("$@")
if ((demo)); then
    cd "$root"
    arguments=(compress Configs/demo.yaml)
elif ((${#arguments[@]} == 0)); then
    fail "no arguments for cleave"
fi

cores=$(nproc) # before OMP_NUM_THREADS is set, which nproc would report instead
export OMP_NUM_THREADS=$threads
export CLEAVE_JOB_ID=${CLEAVE_JOB_ID:-${SLURM_JOB_ID:-$(hostname)-$$-$(date +%s)}}
# Launchers put pipes between the ranks and the terminal, so cleave cannot see it by itself.
[ -t 2 ] && export CLEAVE_PROGRESS=${CLEAVE_PROGRESS:-bar}

# shellcheck source=Cluster/supervise.sh
. "$root/Cluster/supervise.sh"
# shellcheck source=Cluster/hosts.sh
. "$root/Cluster/hosts.sh"

# build_command RANKS HOSTFILE: sets `command`.
build_command() {
    if [ "$launcher" = srun ]; then
        command=(srun --mpi=pmix --kill-on-bad-exit=1 --ntasks="$1" --cpus-per-task="$threads" --cpu-bind=cores)
    else
        command=(mpirun -n "$1" --quiet -x OMP_NUM_THREADS -x CLEAVE_JOB_ID)
        [ -z "${CLEAVE_PROGRESS:-}" ] || command+=(-x CLEAVE_PROGRESS)
        # What the libraries are told of the processor decides bits: it is the same on all hosts.
        for variable in $(compgen -e | grep -E '^(OPENBLAS|DNNL|ONEDNN)_'); do command+=(-x "$variable"); done
        if [ -n "$2" ]; then
            command+=(--hostfile "$2")
            # A daemon that is lost before it has called back is missed by ssh alone.
            [ -n "$(chosen_agent)" ] || command+=(--mca plm_rsh_args
                "-o ConnectTimeout=$host_timeout -o ServerAliveInterval=$((host_timeout / 3)) -o ServerAliveCountMax=3")
        fi
        if [ -n "$2${SLURM_JOB_ID:-}" ]; then
            # Open MPI's own patience with a silent host is eight minutes.
            command+=(--mca oob_tcp_keepalive_time $((host_timeout / 3)) --mca oob_tcp_keepalive_intvl $((host_timeout / 6))
                --mca oob_tcp_keepalive_probes 4)
        fi
        if [ -n "$2${SLURM_JOB_ID:-}" ] || (($1 * threads <= cores)); then
            command+=(--map-by "slot:PE=$threads" --bind-to core)
        else
            command+=(--oversubscribe --bind-to none)
        fi
        ((EUID != 0)) || command+=(--allow-run-as-root)
        # shellcheck disable=SC2206  # the user writes several flags in one variable
        command+=(${MPIRUN_FLAGS:-})
    fi
    command+=("$binary" "${arguments[@]}")
    { printf '+' && printf ' %q' "${command[@]}" && echo; } >&2
}

if [ -z "$hostfile" ] && ((retries == 0)); then
    build_command "$ranks" ""
    exec "${command[@]}"
fi

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
        TERM:*) exit 143 ;;
        *) exit "$1" ;;
    esac
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pass_signals_on
hosts=$hostfile slots=$ranks code=0
for ((attempt = 0; ; attempt++)); do
    if ((slots > 0)); then
        build_command $((slots < ranks ? slots : ranks)) "$hosts"
        code=0
        launch "$host_timeout" "${command[@]}" || code=$?
        [ "$stopping" != TERM ] || exit_stopped "$code"
        ! is_final "$code" || exit "$code"
        what="exit code $code"
    else
        what="no host of $hostfile answers"
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
