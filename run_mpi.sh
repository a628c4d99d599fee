#!/usr/bin/env bash
# Builds Cleave and runs it over MPI ranks; without arguments it compresses the embedded demo model.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'EOF'
usage: run_mpi.sh [--ranks N] [--threads T] [--hostfile F] [--] CLEAVE-ARGUMENTS
       run_mpi.sh                     compress, verify and evaluate the embedded demo model on 2 ranks

  --ranks N      MPI ranks (default 2; under Slurm the number of tasks of the job)
  --threads T    threads of each rank (default 1)
  --hostfile F   Open MPI hostfile: lines such as `node1 slots=4`
  --help         this text; `run_mpi.sh -- --help` is the help of cleave itself

Launches with srun inside a Slurm job (unless a hostfile is given), else with mpirun; binds every rank to T cores of its own where there are enough.
Environment: CLEAVE_BINARY runs that program instead of building one; MPIRUN_FLAGS are passed to mpirun.
EOF
}

fail() {
    echo "run_mpi.sh: $*" >&2
    exit 64
}

is_count() { [[ $1 =~ ^[1-9][0-9]*$ ]]; }

ranks="" threads=1 hostfile="" demo=$(($# == 0))
while (($#)); do
    case $1 in
        --ranks | --threads | --hostfile) (($# > 1)) || fail "$1 needs a value" ;;&
        --ranks) ranks=$2 && shift 2 ;;
        --threads) threads=$2 && shift 2 ;;
        --hostfile) hostfile=$2 && shift 2 ;;
        --help | -h) usage && exit 0 ;;
        --) shift && break ;;
        -*) fail "unknown option $1 (arguments of cleave come after --)" ;;
        *) break ;;
    esac
done
ranks=${ranks:-${SLURM_NTASKS:-2}}
is_count "$ranks" || fail "--ranks must be a whole number of at least 1, found '$ranks'"
is_count "$threads" || fail "--threads must be a whole number of at least 1, found '$threads'"
[ -z "$hostfile" ] || [ -r "$hostfile" ] || fail "cannot read the hostfile $hostfile"

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
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
# Launchers put pipes between the ranks and the terminal, so cleave cannot see it by itself.
[ -t 2 ] && export CLEAVE_PROGRESS=${CLEAVE_PROGRESS:-bar}
if [ -n "${SLURM_JOB_ID:-}" ] && [ -z "$hostfile" ] && command -v srun >/dev/null; then
    command=(srun --mpi=pmix --kill-on-bad-exit=1 --ntasks="$ranks" --cpus-per-task="$threads" --cpu-bind=cores)
else
    command=(mpirun -n "$ranks" --quiet -x OMP_NUM_THREADS -x OPENBLAS_NUM_THREADS)
    [ -z "${CLEAVE_PROGRESS:-}" ] || command+=(-x CLEAVE_PROGRESS)
    [ -z "$hostfile" ] || command+=(--hostfile "$hostfile")
    if [ -n "$hostfile" ] || ((ranks * threads <= cores)); then
        command+=(--map-by "slot:PE=$threads" --bind-to core)
    else
        command+=(--oversubscribe --bind-to none)
    fi
    ((EUID != 0)) || command+=(--allow-run-as-root)
    # shellcheck disable=SC2206  # the user writes several flags in one variable
    command+=(${MPIRUN_FLAGS:-})
fi
command+=("$binary" "${arguments[@]}")
echo "+ ${command[*]}" >&2
exec "${command[@]}"
