# For run_mpi.sh: what an Open MPI hostfile says, and which of its hosts answer. Sourced, not run.
# shellcheck shell=bash

# clean_hostfile HOSTFILE NEW-HOSTFILE: a copy without what editors of other systems write (carriage returns, a byte order mark), whose counts are
# numbers; names the line that is wrong.
clean_hostfile() {
    local wrong
    tr -d '\r' <"$1" | sed $'1s/^\xef\xbb\xbf//' >"$2"
    wrong=$(sed -E 's/#.*//; s/[[:space:]]*=[[:space:]]*/=/g' "$2" | awk '{
        for (i = 2; i <= NF; i++) if ($i ~ /^(slots|max[-_]?slots|cpus?|count)=/ && $i !~ /=[0-9]+$/) {
            print "line " NR ": `" $i "` is no whole number (write `" $1 " slots=4`)"
            exit
        }
    }')
    [ -z "$wrong" ] || refuse 64 "the hostfile $1, $wrong"
    [ -n "$(host_lines "$2")" ] || refuse 64 "the hostfile $1 names no host"
    # Versions of mpirun read a host that is listed several times in different ways; it means a slot a line, or the sum.
    if [ -n "$(host_lines "$2" | cut -d ' ' -f 1 | sort | uniq --repeated)" ]; then
        host_lines "$2" | awk '
            !($1 in lines) { order[++count] = $1 }
            { lines[$1]++; slots[$1] += $2; written[$1] = written[$1] || $2 != "" }
            END {
                for (i = 1; i <= count; i++) {
                    host = order[i]
                    print host (written[host] ? " slots=" slots[host] : lines[host] > 1 ? " slots=" lines[host] : "")
                }
            }' >"$2.merged"
        mv "$2.merged" "$2"
    fi
}

# The lines of a hostfile without comments as HOST SLOTS; SLOTS is left out where the line does not say.
host_lines() {
    sed -E 's/#.*//; s/[[:space:]]*=[[:space:]]*/=/g' "$1" | awk 'NF {
        slots = ""
        for (i = 2; i <= NF; i++) if ($i ~ /^slots=/ || (slots == "" && $i ~ /^max[-_]slots=/)) slots = substr($i, index($i, "=") + 1)
        print $1, slots
    }'
}

# mpirun needs no agent for the host on which it runs.
is_this_host() {
    local host=${1#*@} address
    [ "$host" != "$(hostname)" ] && [ "$host" != "$(hostname -s)" ] || return 0
    address=$(getent ahostsv4 "$host" | awk '{ print $1; exit }')
    [[ -n $address && (" $(hostname -I) " == *" $address "* || $address == 127.*) ]]
}

# Asks the hosts of a hostfile, many at once; prints those that answer within 15 s, each with its number of cores.
hosts_that_answer() {
    local host agent count=0
    agent=$(chosen_agent)
    agent=${agent:-ssh -x -o BatchMode=yes -o ConnectTimeout=10}
    while read -r host; do
        ask "$host" "$agent" &
        ((++count % 64)) || wait
    done < <(host_lines "$1" | cut -d ' ' -f 1 | sort -u)
    wait
}

# Cores, not hardware threads, are what mpirun counts.
ask() {
    local cores question
    question="n=\$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l); [ \$n -gt 0 ] || n=\$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc); echo \$n"
    if is_this_host "$1"; then
        cores=$(bash -c "$question")
    else
        # shellcheck disable=SC2086  # the agent may have arguments
        cores=$(timeout --kill-after=1 15 $2 "$1" "$question" </dev/null 2>/dev/null) || return 0
    fi
    echo "$1 $cores"
}

# keep_hosts HOSTFILE ANSWERS NEW-HOSTFILE: writes the lines of the hosts in ANSWERS, and prints how many slots they have together.
# As for mpirun, a host that is listed once without slots has one per core, and one listed several times has one per line.
keep_hosts() {
    : >"$3"
    host_lines "$1" | awk -v kept="$3" '
        FILENAME != "-" { cores[$1] = $2; next }
        $1 in cores { print $1 ($2 == "" ? "" : " slots=" $2) >kept; lines[$1]++; slots[$1] += $2 }
        END {
            for (host in lines) sum += slots[host] > 0 ? slots[host] : lines[host] > 1 ? lines[host] : cores[host]
            print sum + 0
        }' "$2" -
}
