# For lab.sh: the connection by which mpirun starts its daemons on the hosts of a lab. Sourced, not run.
# shellcheck shell=bash

# connect HOST COMMAND...: what ssh is elsewhere, with `ServerAliveInterval=5`. It passes no environment on, starts at home and needs the link: without
# it a connection does not begin; one that has begun hears nothing of its command, cannot end it, and gives up after 15 s.
connect() {
    local host=$1 code=0 command heard=$SECONDS
    shift
    [ -e "$LAB_DIR/$host.pid" ] || refuse "no host $host"
    reaches "$host" || refuse "$host: no route to host"
    cd "$HOME"
    enter "$host" env -i HOME="$HOME" PATH="$PATH" TMPDIR="$LAB_DIR/tmp" bash -c "$*" <&0 &
    command=$!
    while kill -0 "$command" 2>/dev/null; do
        ((SECONDS - heard < 5)) || hear || true
        sleep 0.5
    done
    wait "$command" || code=$?
    while ! hear; do sleep 1; done
    exit "$code"
}

# Asks a host that a connection is open to.
hear() {
    if reaches "$host"; then
        heard=$SECONDS
    else
        ((SECONDS - heard < 15)) || refuse "$host does not answer any more"
        return 1
    fi
}

# Nobody listens on this port, so a host that can be reached refuses at once.
reaches() {
    local answer
    answer=$(LC_ALL=C timeout 5 bash -c "exec 3<>/dev/tcp/$1/22" 2>&1) || [[ $answer == *"Connection refused"* ]]
}

refuse() {
    echo "lab: $*" >&2
    exit 255
}
