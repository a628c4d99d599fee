#!/usr/bin/env python3
"""Time Cleave beside llm-compressor and GPTQModel on the same model and the same token ids, in turn, on an otherwise idle machine.

    Benchmarks/peers/setup.sh VENVS
    Benchmarks/peers/compare.py --model DIR --ids IDS.npy --venvs VENVS [--sequences 32 --length 512 --group 64] [--only NAME ...] [--repeat 1]
        [--sparsity 0.5|2:4]

Every tool gets --threads cores: Cleave as so many ranks of 1 thread, the peers as threads of one process. For the peers the time is that of
quantizing and saving, without imports and loading the model; for Cleave it is the whole command. `cleave tokenize` makes ids of a text. With
--evaluation each result's perplexity is measured by `cleave eval` on the first 20 x 2048 ids of another file. With --sparsity the method is SparseGPT,
which GPTQModel does not have.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PEERS = {"llm-compressor": "llm_compressor.py", "gptqmodel": "gptqmodel_gptq.py"}


def refuse_a_busy_machine():
    """A process beside them slows the tools unequally: the peers' threads wait for each other."""
    deadline = time.monotonic() + 180
    while (load := os.getloadavg()[0]) > 0.5:
        if time.monotonic() > deadline:
            raise SystemExit(f"load average {load:.1f} after 3 minutes: other processes are running; end them, or pass --busy")
        time.sleep(5)


def run(command, environment, folder=None):
    start = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - start, done.stdout


def peer(arguments, name, output):
    # By absolute paths, since a peer runs where the logs that it leaves are taken away.
    python, model, ids = (pathlib.Path(path).absolute() for path in (arguments.venvs / name / "bin/python", arguments.model, arguments.ids))
    settings = [arguments.sparsity] if arguments.sparsity else [arguments.bits, arguments.group]
    command = [python, HERE / PEERS[name], model, ids, arguments.sequences, arguments.length, *settings, output]
    # GPTQModel does not start with fewer than 2 workers.
    threads = str(arguments.threads)
    _, text = run(list(map(str, command)), {"OMP_NUM_THREADS": threads, "GPTQMODEL_CPU_WORKERS": threads}, output.parent)
    return float(re.search(r"^seconds ([0-9.]+)$", text, re.MULTILINE).group(1))


def cleave(arguments, output):
    recipe = output.with_suffix(".yaml")
    # The head, and the routers of a mixture.
    ignored = ["lm_head"] + (["re:.*gate$"] if "experts" in (pathlib.Path(arguments.model) / "config.json").read_text() else [])
    method = f"method: sparsegpt, sparsity: {arguments.sparsity}" if arguments.sparsity else f"bits: {arguments.bits}, group: {arguments.group}"
    recipe.write_text(
        f"calibration: {{ source: {arguments.ids}, sequences: {arguments.sequences}, length: {arguments.length}, sampling: consecutive }}\n"
        f"compress: {{ {method} }}\nignore: {json.dumps(ignored)}\n")
    launcher = ["mpirun", "--allow-run-as-root", "--bind-to", "core", "-n", str(arguments.threads)]
    command = [*launcher, arguments.binary, "compress", str(recipe), "--model", arguments.model, "--output", str(output)]
    seconds, _ = run(command, {"OMP_NUM_THREADS": "1"})
    return seconds


def perplexity(arguments, output):
    command = ["mpirun", "--allow-run-as-root", "-n", str(arguments.threads), arguments.binary, "eval", str(output)]
    _, text = run([*command, "--data", arguments.evaluation, "--sequences", "20", "--json"], {"OMP_NUM_THREADS": "1"})
    return json.loads(text)["perplexity"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--venvs", type=pathlib.Path, required=True)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--sparsity", help="prune by SparseGPT instead of quantizing: a share of zeros, or a pattern such as 2:4")
    parser.add_argument("--only", nargs="*", choices=["cleave", *PEERS])
    parser.add_argument("--evaluation", help="ids on which each result's perplexity is measured")
    parser.add_argument("--busy", action="store_true", help="do not wait for an idle machine")
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/release/cleave"))
    arguments = parser.parse_args()
    arguments.only = arguments.only or ["cleave", *(name for name in PEERS if not (arguments.sparsity and name == "gptqmodel"))]
    if arguments.sparsity and "gptqmodel" in arguments.only:
        parser.error("GPTQModel has no SparseGPT")
    seconds, perplexities = {name: [] for name in arguments.only}, {}
    for _ in range(arguments.repeat):
        for name in arguments.only:
            if not arguments.busy:
                refuse_a_busy_machine()
            with tempfile.TemporaryDirectory() as folder:
                output = pathlib.Path(folder) / "out"
                seconds[name].append(cleave(arguments, output) if name == "cleave" else peer(arguments, name, output))
                if arguments.evaluation:
                    perplexities[name] = perplexity(arguments, output)
            print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
    own = min(seconds["cleave"]) if "cleave" in seconds else None
    print("| tool | seconds (least) | times Cleave's | perplexity |\n|---|---|---|---|")
    for name, values in seconds.items():
        quality = f"{perplexities[name]:.2f}" if name in perplexities else "-"
        print(f"| {name} | {min(values):.1f} | {f'{min(values) / own:.1f}' if own else '-'} | {quality} |")


if __name__ == "__main__":
    main()
