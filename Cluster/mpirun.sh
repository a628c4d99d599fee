# For run_mpi.sh: Open MPI's mpirun, in the words of its version. Sourced, not run.
#
# | what                        | Open MPI 4 (ORTE)                 | Open MPI 5 (PRRTE)                  |
# |-----------------------------|-----------------------------------|-------------------------------------|
# | a setting of the launcher   | --mca NAME VALUE, OMPI_MCA_NAME   | --prtemca NAME VALUE, PRTE_MCA_NAME |
# | how it reaches hosts        | plm_rsh_agent, plm_rsh_args       | plm_ssh_agent, plm_ssh_args         |
# | silence of a host           | oob_tcp_keepalive_*               | the same                            |
# | its files on each host      | orte_tmpdir_base                  | prte_tmpdir_base                    |
# | an option it does not know  | exit code 1 and a line            | exit code 213 and a box             |
# shellcheck shell=bash

mpirun=mpirun  # the program
mpi_version=4  # its major version: 4, or 5 and later
setting=--mca  # how a setting of the launcher is given
remote=plm_rsh # the launcher's part that reaches hosts
runtime=orte   # how names of the launcher's own settings begin

# Finds Open MPI's mpirun, also where another MPI library owns the plain name.
find_mpirun() {
    local candidate said
    for candidate in mpirun mpirun.openmpi; do
        command -v "$candidate" >/dev/null || continue
        said=$(timeout --kill-after=1 10 "$candidate" --version 2>&1 </dev/null | head -n 3)
        case $said in
            *"HYDRA"* | *"MPICH"* | *"Intel(R) MPI"*) continue ;;
            *"(Open MPI) "[123].*) refuse 69 "Open MPI 4.1 or later is needed, found: ${said%%$'\n'*}" ;;
            *"(Open MPI) "[5-9].* | *"(Open MPI) "[1-9][0-9]*) mpi_version=5 setting=--prtemca remote=plm_ssh runtime=prte ;;
        esac
        mpirun=$candidate
        return
    done
    refuse 69 "Open MPI's mpirun is not on the PATH: install openmpi-bin, or start the MPI library of the program by its own launcher"
}

# Whether a batch system says on which hosts mpirun starts ranks, and with how many slots.
is_batch_job() { [ -n "${SLURM_JOB_ID:-}${PBS_JOBID:-}${LSB_JOBID:-}${PE_HOSTFILE:-}" ]; }

# What mpirun is told to reach hosts with, by its flags or its variables; nothing if it is left to choose ssh.
chosen_agent() {
    local agent variable
    agent=$(sed -nE 's/.*mca +plm_(rsh|ssh)_agent +([^ ]+).*/\2/p' <<<"${MPIRUN_FLAGS:-}")
    for variable in PRTE_MCA_plm_ssh_agent OMPI_MCA_plm_rsh_agent; do
        agent=${agent:-${!variable:-}}
    done
    echo "$agent"
}

# Whether hosts share the file system of a folder: every small file that a daemon makes there is then a message to a server.
is_shared_file_system() {
    case $(stat --file-system --format %T "$1" 2>/dev/null) in
        nfs | nfs4 | lustre | gpfs | ceph | cifs | smb2 | afs | panfs | fuse | fuseblk | ocfs2 | gfs | gfs2) return 0 ;;
        *) return 1 ;;
    esac
}

# build_mpirun RANKS HOSTFILE: sets `command` to mpirun and its options.
build_mpirun() {
    local variable
    command=("$mpirun" -n "$1" -x OMP_NUM_THREADS -x CLEAVE_JOB_ID)
    # What the libraries are told of the processor decides bits: it is the same on all hosts.
    for variable in $(compgen -e | grep -E '^(CLEAVE_(BIND|PROGRESS|RANKS_PER_NODE)$|OPENBLAS_|DNNL_|ONEDNN_)'); do command+=(-x "$variable"); done
    if [ -n "$2" ]; then
        command+=(--hostfile "$2")
        # A daemon that is lost before it has called back is missed by ssh alone.
        if [ -z "$(chosen_agent)" ]; then
            command+=("$setting" "${remote}_args" "-o ConnectTimeout=$host_timeout -o ServerAliveInterval=$((host_timeout / 3)) -o ServerAliveCountMax=3")
        elif ((mpi_version >= 5)) && [ -z "${PRTE_MCA_plm_ssh_agent:-}" ] && [ -n "${OMPI_MCA_plm_rsh_agent:-}" ]; then
            command+=("$setting" plm_ssh_agent "$OMPI_MCA_plm_rsh_agent")
        fi
    fi
    if [ -n "$2" ] || is_batch_job; then
        # Open MPI's own patience with a silent host is eight minutes.
        command+=("$setting" oob_tcp_keepalive_time $((host_timeout / 3)) "$setting" oob_tcp_keepalive_intvl $((host_timeout / 6))
            "$setting" oob_tcp_keepalive_probes 4)
    else
        command+=(--map-by slot:OVERSUBSCRIBE)
    fi
    # On each host a daemon and its ranks meet by files in TMPDIR, which some sites put on a file system of the whole cluster.
    if [[ ${MPIRUN_FLAGS:-} != *tmpdir_base* ]] && is_shared_file_system "${TMPDIR:-/tmp}" && ! is_shared_file_system /tmp; then
        command+=("$setting" "${runtime}_tmpdir_base" /tmp)
    fi
    # mpirun would bind to the first cores, whoever computes there; the ranks look for themselves (CLEAVE_BIND).
    [[ ${MPIRUN_FLAGS:-} == *bind-to* ]] || command+=(--bind-to none)
    ((EUID != 0)) || command+=(--allow-run-as-root)
    # shellcheck disable=SC2206  # the user writes several flags in one variable
    command+=(${MPIRUN_FLAGS:-})
}
