#!/usr/bin/env bash
# Compresses a model in a Flux batch job that stops before its time limit, submits itself again, and goes on where it was, until the checkpoint is whole.
#
#   1. In a clone of Cleave on a file system that all nodes share, build once:  make build
#   2. Copy this file into the clone, change what is between the two lines of dashes, and submit it from there:  flux batch my-model.sh
#   3. Follow it:  cleave status OUTPUT
#
# To stop it for good, `flux cancel JOBID`, or `touch OUTPUT/cleave/stop` to let it finish the stage at hand. `flux batch` again resumes either.

# Ranks = slots, and cores-per-slot threads each: together the cores of a node, a few threads a rank.
# The result does not depend on these numbers. `cleave plan RECIPE --ranks 16,64` says how much memory a rank and a host need.
# -------------------------------------------------------------------------------------------------------------------------------------------------
# flux: --job-name=cleave
# flux: --nodes=4
# flux: --nslots=32
# flux: --cores-per-slot=4
# flux: --exclusive
# flux: --time-limit=8h
# flux: --output=cleave-{{id}}.log

# The same numbers for the ranks, this file, which the job submits again, and the seconds before the time limit at which it does: a stage of a large
# model must end within them.
nodes=4 ranks=32 threads=4
self=my-model.sh
margin=300

# What to compress: a recipe (docs/recipes.md), the model, and where to. The output must be on the shared file system.
arguments=(compress Configs/gptq-w4a16.yaml --model models/Llama-3.1-8B --output out/llama-w4 --set calibration.source=c4.jsonl)
# -------------------------------------------------------------------------------------------------------------------------------------------------

set -uo pipefail

# Flux itself starts the ranks. Open MPI meets by PMIx, which is flux-pmix, a plugin beside flux-core.
export CLEAVE_BINARY=${CLEAVE_BINARY:-$PWD/.build/release/cleave} OMP_NUM_THREADS=$threads
run=(flux run --nodes="$nodes" --ntasks="$ranks" --cores-per-task="$threads" -o pmi=pmix "$CLEAVE_BINARY")

# Of a job without a limit Flux says some number beyond all limits.
left=$(flux job timeleft) || exit
echo "$(date): $left seconds left"
"${run[@]}" "${arguments[@]}" --max-hours "$(awk "BEGIN { left = $left - $margin; print (left > 0 ? left : 0.01) / 3600 }")"
code=$?

# 75: stopped in good order. With much time left it was the wish of somebody, who will not want the job back.
if [ "$code" = 75 ] && [ $((2 * SECONDS)) -ge $((left - margin)) ]; then
    next=$(flux --parent batch "$self") && echo "$(date): out of time, submitted again as $next" && exit 0
fi
echo "$(date): ended with exit code $code"
exit "$code"
