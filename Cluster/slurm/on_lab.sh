#!/usr/bin/env bash
# A small Slurm on the hosts of Cluster/lab.sh, to try job scripts: Cluster/lab.sh 2 -- Cluster/slurm/on_lab.sh COMMAND...
set -euo pipefail

fail() {
    echo "on_lab: $*" >&2
    exit 64
}

[ -n "${LAB_DIR:-}" ] || fail "run inside a lab: Cluster/lab.sh 2 -- $0 COMMAND..."
(($#)) || fail "no command to run"
for program in munged slurmctld slurmd; do
    command -v $program >/dev/null || fail "$program is missing: apt-get install munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins"
done

directory=$LAB_DIR/slurm
mkdir -p "$directory/state" "$directory/munge"
chmod 755 "$LAB_DIR" "$directory" "$directory/munge"

hosts=$(cut -d ' ' -f 1 "$LAB_DIR/hostfile" | paste -sd ,)
slots=$(sed -n '1s/.*slots=//p' "$LAB_DIR/hostfile")
export SLURM_CONF=$directory/slurm.conf
cat >"$SLURM_CONF" <<TEXT
ClusterName=lab
SlurmctldHost=host1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/munge/socket
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/%n.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=60
KillWait=10
NodeName=$hosts CPUs=$slots State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
TEXT
echo "PMIxCliTmpDirBase=/dev/shm" >"$directory/mpi.conf" # /tmp is shared by the hosts
echo "CgroupPlugin=cgroup/v1" >"$directory/cgroup.conf" # no control groups are used; the other plugin would insist on them

dd if=/dev/urandom of="$directory/munge/key" bs=128 count=1 status=none
chmod 600 "$directory/munge/key"
munged --force --key-file="$directory/munge/key" --socket="$directory/munge/socket" --pid-file="$directory/munge/pid" \
    --seed-file="$directory/munge/seed" --log-file="$directory/munge/log" 2>/dev/null
slurmctld
for host in ${hosts//,/ }; do
    mkdir "$directory/$host"
    "$(dirname "$0")/../lab.sh" enter "$host" slurmd -N "$host"
done
for ((tries = 0; $(sinfo -h -t idle -o %D 2>/dev/null || echo 0) < $(wc -l <"$LAB_DIR/hostfile"); tries++)); do
    ((tries < 100)) || { tail -n 5 "$directory"/*.log >&2 && fail "Slurm does not come up"; }
    sleep 0.2
done
"$@"
