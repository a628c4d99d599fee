#!/usr/bin/env python3
"""Predicted times beside measured ones, phase by phase: on 1 rank, on 2, and on 2 hosts of Cluster/lab.sh with slow links.

    Benchmarks/scaling.py [--model DIR --ids FILE] [--sequences 8] [--length 2048] [--places 1 2 2x1 4x2] [--bandwidth 50mbit 200mbit] [--output scaling.json]

A place is a number of ranks on this machine, or HOSTSxRANKS: hosts of the lab with so many ranks each, once for each bandwidth of their links.

For each of them `cleave bench` measures the machine as the run will use it, `cleave plan --machine` predicts, `cleave compress` runs, and its report is
held against the prediction. Without --model a Llama-shaped model with random weights is made (Benchmarks/make_model.py, which needs torch: --python names an
interpreter that has it). The lab needs root. Run it on a machine that does nothing else: rates and run must see the same machine.

Exit code 1 when a total is off by more than --tolerance.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# As a report names them. A rank that waits for a panel counts that as sums and one that makes it as factor, so only both together compare.
PHASES = {
    "forward": ["forward"], "tokens": ["exchange"], "X^T X": ["hessian"], "factor and sums": ["factor", "reduce"], "solve": ["solve"], "gather": ["gather"],
    "read": ["read"], "commit": ["commit"], "merge": ["merge"], "verify": ["verify"],
}
# In a report, and in no prediction.
OUTSIDE = ["plan", "evaluate"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "CLEAVE_BINARY": arguments.binary})
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


class Place:
    """Ranks on this machine, or on hosts of the lab."""

    def __init__(self, text, bandwidth=None):
        self.hosts, self.each = map(int, text.split("x")) if "x" in text else (1, int(text))
        self.bandwidth = bandwidth
        self.ranks = self.hosts * self.each
        self.name = text + (f"-{bandwidth}" if bandwidth else "")
        self.title = f"{self.hosts} hosts of {self.each}, {bandwidth} links" if bandwidth else f"{self.ranks} rank{'s' if self.ranks > 1 else ''}"

    def cleave(self, *verb):
        if self.bandwidth is None:
            return run(["./run_mpi.sh", "--ranks", str(self.ranks), "--", *verb])
        inner = " ".join(["./run_mpi.sh", "--ranks", str(self.ranks), "--hostfile", '"$LAB_HOSTFILE"', "--", *map(str, verb)])
        return run(["Cluster/lab.sh", str(self.hosts), "--slots", str(self.each), "--bandwidth", self.bandwidth, "--", "bash", "-c", inner])


def places():
    for text in arguments.places:
        yield from (Place(text, bandwidth) for bandwidth in arguments.bandwidth) if "x" in text else [Place(text)]


def ignored(model):
    """The head, and the routers of a mixture."""
    return ["lm_head"] + (["re:.*gate$"] if "experts" in (pathlib.Path(model) / "config.json").read_text() else [])


def recipe(model, ids, folder):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(dict(
        model=str(model), output="unused", ignore=ignored(model),
        calibration=dict(source=str(ids), sequences=arguments.sequences, length=arguments.length), compress=dict(bits=4, group=128))))
    return path


def measure(place, recipe_path, folder):
    machine = folder / f"machine-{place.name}.json"
    place.cleave("bench", "--output", machine, "--disk", folder, "--seconds", str(arguments.seconds))
    predicted = json.loads(run([arguments.binary, "plan", recipe_path, "--ranks", str(place.ranks), "--machine", machine, "--json"]))["predictions"][0]
    output = folder / f"out-{place.name}"
    place.cleave("compress", recipe_path, "--output", output)
    report = json.loads((output / "cleave/report.json").read_text())
    shutil.rmtree(output)

    def measured(phases):
        return max(sum(rank["seconds"].get(phase, 0) for phase in phases) for rank in report["ranks"])

    rows = {name: dict(predicted=sum(predicted[phase] for phase in phases), measured=measured(phases)) for name, phases in PHASES.items()}
    rows["total"] = dict(
        predicted=sum(row["predicted"] for row in rows.values()), measured=report["wallSeconds"] - measured(OUTSIDE))
    return dict(place=place.title, machine=json.loads(machine.read_text()), phases=rows)


def table(result):
    print(f"\n| {result['place']} | predicted | measured | predicted / measured |\n|---|---|---|---|")
    for name, row in result["phases"].items():
        quotient = f"{row['predicted'] / row['measured']:.2f}" if row["measured"] > 0.05 else ""
        print(f"| {name} | {row['predicted']:.1f} s | {row['measured']:.1f} s | {quotient} |", flush=True)


def main():
    results = []
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = pathlib.Path(name)
        model, ids = arguments.model, arguments.ids
        if model is None:
            model, ids = folder / "model", folder / "model/ids.npy"
            run([arguments.python, "Benchmarks/make_model.py", model, *"--hidden 2048 --intermediate 5632 --heads 16 --kv-heads 16 --blocks 4".split()])
        path = recipe(pathlib.Path(model).resolve(), pathlib.Path(ids).resolve(), folder)
        for place in places():
            results.append(measure(place, path, folder))
            table(results[-1])
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    totals = [result["phases"]["total"] for result in results]
    if any(abs(total["predicted"] / total["measured"] - 1) > arguments.tolerance for total in totals):
        sys.exit(f"\na total is off by more than {100 * arguments.tolerance:.0f} %")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", type=pathlib.Path)
parser.add_argument("--ids", type=pathlib.Path)
parser.add_argument("--sequences", type=int, default=8)
parser.add_argument("--length", type=int, default=2048)
parser.add_argument("--bandwidth", nargs="+", default=["200mbit"])
parser.add_argument("--places", nargs="+", default=["1", "2", "2x1"])
parser.add_argument("--seconds", type=float, default=2, help="for which bench repeats each operation")
parser.add_argument("--tolerance", type=float, default=0.15)
parser.add_argument("--scratch", help="a directory with room for model and results")
parser.add_argument("--python", default=str(ROOT / ".venv-compat/bin/python"))
parser.add_argument("--binary", default=str(ROOT / ".build/release/cleave"))
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("scaling.json"))
arguments = parser.parse_args()
if (arguments.model is None) != (arguments.ids is None):
    parser.error("--model and --ids go together")
main()
