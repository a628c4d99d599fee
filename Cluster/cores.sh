# For lab.sh: the cores of this machine, shared out to the hosts of a lab. Sourced, not run.
# shellcheck shell=bash

# share_cores HOSTS SLOTS DIRECTORY: where there are enough cores, each host has as many of its own as it has slots, listed in DIRECTORY/hostK.cpus; else
# all hosts share all of them.
share_cores() {
    local cores allowed k
    allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    # A line for each core, with its hardware threads.
    mapfile -t cores < <(lscpu -p=CPU,CORE,SOCKET 2>/dev/null | awk -F , -v allowed="$allowed" '
        BEGIN {
            for (i = split(allowed, ranges, ","); i > 0; i--) {
                split(ranges[i], ends, "-")
                for (cpu = ends[1]; cpu <= (ends[2] == "" ? ends[1] : ends[2]); cpu++) may[cpu + 0]
            }
        }
        /^[0-9]/ && ($1 + 0) in may {
            core = $3 "," $2
            if (!(core in cpus)) order[++count] = core
            cpus[core] = cpus[core] (cpus[core] == "" ? "" : ",") $1
        }
        END { for (i = 1; i <= count; i++) print cpus[order[i]] }')
    (($1 * $2 <= ${#cores[@]})) || return 0
    for ((k = 0; k < $1; k++)); do
        (IFS=, && echo "${cores[*]:k * $2:$2}") >"$3/host$((k + 1)).cpus"
    done
}
