#!/usr/bin/env bash
# Several hosts on one machine: network namespaces joined by a switch, with links that can be cut, to try Cleave across hosts.
set -euo pipefail

self=$(realpath "${BASH_SOURCE[0]}")
# shellcheck source=Cluster/cores.sh
. "$(dirname "$self")/cores.sh"
# shellcheck source=Cluster/connect.sh
. "$(dirname "$self")/connect.sh"

usage() {
    cat <<'TEXT'
usage: lab.sh N [--slots S] [--bandwidth RATE] [--latency TIME] -- COMMAND...
       lab.sh cut|mend|kill HOST
       lab.sh enter HOST COMMAND...

Makes the hosts host1 ... hostN on this machine, each with its own name, address and link to a common switch, runs COMMAND on host1, exits with its
exit code and leaves nothing behind. COMMAND finds an Open MPI hostfile in $LAB_HOSTFILE, and mpirun is set up to reach the hosts:

    Cluster/lab.sh 2 -- sh -c './run_mpi.sh --ranks 4 --hostfile "$LAB_HOSTFILE" -- compress Configs/demo.yaml'

  --slots S         slots of each host in the hostfile (default: the cores of this machine)
  --bandwidth RATE  of every link, in each direction, as tc writes it: 1gbit
  --latency TIME    from any host to any other, as tc writes it: 2ms
  --help            this text

While COMMAND runs, COMMAND itself or (with LAB_DIR set to the directory that is printed at the start) another terminal may say
  lab.sh cut HOST   its packets are lost from now on, without a word to anybody
  lab.sh mend HOST  its link works again
  lab.sh enter HOST COMMAND...  runs COMMAND there (inside the lab only)
  lab.sh kill HOST  as if it lost power: the link is cut, then its processes are gone; it does not come back

Needs root, iproute2, util-linux and a kernel with network namespaces; --bandwidth needs its tbf, --latency its netem. File systems are shared by the hosts.
INT and TERM are passed on to COMMAND as TERM, USR1 as USR1; should lab.sh itself be killed, the kernel ends everything inside.
TEXT
}

fail() {
    echo "lab: $*" >&2
    exit 64
}

# What is mounted in the lab must not be seen outside. unshare sees to it where `/` is a mount point; in a chroot the mount that holds it has to be reached
# first, by the root that its namespace has.
private=() propagation=()
if ! mountpoint -q /; then
    # shellcheck disable=SC2016  # for the shell inside
    private=(unshare --mount --propagation unchanged sh -c 'nsenter --mount=/proc/self/ns/mnt mount --make-rprivate / && exec "$@"' sh)
    propagation=(--propagation unchanged)
fi

# Outside: the lab's processes live in a PID namespace, so that all of them end with it, whatever happens.

start() {
    ((EUID == 0)) || fail "making hosts needs root"
    local inside children command
    LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/cleave-lab.XXXXXX")
    export LAB_DIR
    trap 'rm -rf "$LAB_DIR"' EXIT
    echo "lab: $hosts hosts with $slots slots each, LAB_DIR=$LAB_DIR" >&2
    setpriv --pdeathsig KILL "${private[@]}" unshare --net --mount "${propagation[@]}" --pid --mount-proc --fork --kill-child \
        "$self" inside "$hosts" "$slots" "$bandwidth" "$latency" "$@" <&0 &
    command=$!
    children=/proc/$command/task/$command/children
    until inside=$(cat "$children" 2>/dev/null) && [ -n "$inside" ]; do
        kill -0 "$command" 2>/dev/null || break
        sleep 0.01
    done
    echo "${inside% }" >"$LAB_DIR/pid"
    pass_signals_to "${inside% }"
    exit_with "$command"
}

# Background processes of a script ignore INT, so TERM is sent for it. Only the first is passed on: a shell that is told twice while the process ends
# may wait for it forever.
pass_signals_to() {
    # shellcheck disable=SC2064  # the process is known now
    trap "trap '' INT TERM; interrupted=1; kill -TERM $1 2>/dev/null || true" INT TERM
    # shellcheck disable=SC2064
    trap "trap '' USR1; interrupted=1; kill -USR1 $1 2>/dev/null || true" USR1
}

# Waits for a process, also where traps interrupt the waiting, and exits with its code.
exit_with() {
    local code
    while :; do
        interrupted=0 code=0
        wait "$1" || code=$?
        ((interrupted)) || exit "$code"
    done
}

# Inside: this script is process 1, and its network namespace is the switch.

inside() {
    local hosts=$1 slots=$2 bandwidth=$3 latency=$4 k name holder
    shift 4
    readlink /proc/self/ns/pid >"$LAB_DIR/namespace"
    mkdir "$LAB_DIR/tmp"
    echo "127.0.0.1 localhost" >"$LAB_DIR/hosts"
    for ((k = 1; k <= hosts; k++)); do
        echo "$(address "$k") host$k" >>"$LAB_DIR/hosts"
        echo "host$k slots=$slots" >>"$LAB_DIR/hostfile"
    done
    share_cores "$hosts" "$slots" "$LAB_DIR"
    mount --bind "$LAB_DIR/hosts" /etc/hosts
    printf '#!/bin/sh\nLAB_DIR="%s" exec "%s" connect "$@"\n' "$LAB_DIR" "$self" >"$LAB_DIR/agent"
    chmod +x "$LAB_DIR/agent"
    ip link set lo up
    ip link add switch type bridge
    ip link set switch up
    for ((k = 1; k <= hosts; k++)); do
        name=host$k
        unshare --net --uts --mount "${propagation[@]}" "$self" host "$name" "$(address "$k")" "$bandwidth" "$latency" </dev/null &
        holder=$!
        disown "$holder" # no word of it when the host is killed
        until [ -e "$LAB_DIR/$name.pid" ]; do
            kill -0 "$holder" 2>/dev/null || fail "cannot make $name"
            sleep 0.01
        done
        [ -z "$bandwidth" ] || limit_bandwidth "$name" "$bandwidth"
        ip link set "$name" master switch up
    done
    export LAB_HOSTFILE=$LAB_DIR/hostfile TMPDIR=$LAB_DIR/tmp
    export OMPI_MCA_plm_rsh_agent=$LAB_DIR/agent PRTE_MCA_plm_ssh_agent=$LAB_DIR/agent
    enter host1 "$@" <&0 &
    pass_signals_to $!
    exit_with $!
}

address() { echo "10.77.$(($1 / 250)).$(($1 % 250 + 1))"; }

limit_bandwidth() { tc qdisc add dev "$1" root tbf rate "$2" burst 256kb latency 50ms; }

# Runs in a new host's namespaces: sets up its end of the link and stays, to keep the namespaces alive.
host() {
    local name=$1 address=$2 bandwidth=$3 latency=$4
    hostname "$name"
    mount -t tmpfs tmpfs /dev/shm
    ip link set lo up
    ip link add eth0 type veth peer name "$name" netns 1
    ip address add "$address/16" dev eth0
    ip link set eth0 up
    if [ -n "$latency" ]; then
        # shellcheck disable=SC2086  # two words or none
        tc qdisc add dev eth0 root netem delay "$latency" limit 100000 ${bandwidth:+rate $bandwidth} ||
            fail "--latency needs a kernel with netem (CONFIG_NET_SCH_NETEM)"
    elif [ -n "$bandwidth" ]; then
        limit_bandwidth eth0 "$bandwidth"
    fi
    echo $$ >"$LAB_DIR/$name.new"
    mv "$LAB_DIR/$name.new" "$LAB_DIR/$name.pid"
    exec sleep infinity
}

# enter HOST COMMAND...
enter() {
    local pid bound=()
    pid=$(cat "$LAB_DIR/$1.pid")
    [ ! -e "$LAB_DIR/$1.cpus" ] || bound=(taskset --cpu-list "$(cat "$LAB_DIR/$1.cpus")")
    shift
    exec nsenter --target "$pid" --net --uts --mount --root --wdns="$PWD" -- "${bound[@]}" "$@"
}

control() {
    local verb=$1 host=$2 pid
    [ -n "${LAB_DIR:-}" ] || fail "set LAB_DIR to the directory that lab.sh printed when it started"
    [ -e "$LAB_DIR/$host.pid" ] || fail "no host $host in the lab $LAB_DIR"
    if [ "$(readlink /proc/self/ns/pid)" != "$(cat "$LAB_DIR/namespace")" ]; then
        exec nsenter --target "$(cat "$LAB_DIR/pid")" --pid --mount --root -- "$self" "$verb" "$host"
    fi
    case $verb in
        cut) switch ip link set "$host" nomaster ;;
        mend) switch ip link set "$host" master switch ;;
        kill)
            switch ip link set "$host" nomaster
            for pid in $(processes_of "$host"); do kill -KILL "$pid" 2>/dev/null || true; done
            ;;
    esac
}

switch() { nsenter --target 1 --net -- "$@"; }

# The process that keeps the host comes last: it names the others.
processes_of() {
    local holder namespace process
    holder=$(cat "$LAB_DIR/$1.pid")
    namespace=$(readlink "/proc/$holder/ns/net") || fail "$1 is down already"
    for process in /proc/[0-9]*; do
        [ "${process#/proc/}" = "$holder" ] || [ "$(readlink "$process/ns/net" 2>/dev/null)" != "$namespace" ] || echo "${process#/proc/}"
    done
    echo "$holder"
}

case ${1:-} in
    --help | -h) usage && exit 0 ;;
    enter) (($# > 2)) && shift && enter "$@" ;;
    cut | mend | kill)
        (($# == 2)) || fail "lab.sh $1 needs the name of one host"
        control "$@"
        exit 0
        ;;
    inside) shift && inside "$@" ;;
    host) shift && host "$@" ;;
    connect) shift && connect "$@" ;;
esac

# nproc counts the threads of OMP_NUM_THREADS, where that is set, in place of cores.
hosts=${1:-} slots=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) bandwidth="" latency=""
[[ $hosts =~ ^[1-9][0-9]{0,3}$ ]] || fail "the number of hosts comes first, found '$hosts' (lab.sh --help)"
shift
while (($#)); do
    case $1 in
        --slots | --bandwidth | --latency) (($# > 1)) || fail "$1 needs a value" ;;&
        --slots) slots=$2 && shift 2 ;;
        --bandwidth) bandwidth=$2 && shift 2 ;;
        --latency) latency=$2 && shift 2 ;;
        --) shift && break ;;
        *) fail "unknown option $1 (the command comes after --)" ;;
    esac
done
[[ $slots =~ ^[1-9][0-9]*$ ]] || fail "--slots must be a whole number of at least 1, found '$slots'"
(($#)) || fail "no command to run"
start "$@"
