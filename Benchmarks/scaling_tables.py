#!/usr/bin/env python3
"""The strong-scaling tables of docs/scaling.md, from `cleave plan`.

    Benchmarks/scaling_tables.py [--machine PROFILE] [--ranks 8,64] [--shapes DIR ...]
    Benchmarks/scaling_tables.py --check docs/scaling.md    fails when a line of the tables is not in that file
"""
import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = ["llama-3.1-405b", "deepseek-v3", "kimi-k2", "qwen3-235b-a22b", "dense-540b"]
COLUMNS = {
    "forward": ["forward"], "tokens": ["exchange"], "X^T X": ["hessian"], "sums": ["reduce"], "factor": ["factor"], "solve": ["solve"], "gather": ["gather"],
    "read": ["read"], "write": ["commit", "merge", "verify"],
}


def time(seconds):
    if seconds == 0:
        return ""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 119.5 else f"{minutes / 60:.1f} h"


def lines(arguments):
    """The lines of one table for each shape, in Markdown."""
    for shape in arguments.shapes:
        command = [arguments.binary, "plan", "--shape", shape, "--ranks", arguments.ranks, "--machine", arguments.machine, "--json"]
        plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        files, predictions = plan["files"], plan["predictions"]
        result = f"{files['outputBytes'] / 1e9:.0f} GB in {files['outputFiles']} files"
        yield f"**{pathlib.Path(shape).name}**: {files['sourceBytes'] / 1e9:.0f} GB, {plan['tiles']} tiles; the result {result}."
        yield ""
        yield "| ranks |" + "".join(f" {name} |" for name in COLUMNS) + " total | faster | efficiency |"
        yield "|" + "---|" * (len(COLUMNS) + 4)
        totals = [sum(row[phase] for phases in COLUMNS.values() for phase in phases) for row in predictions]
        for row, total in zip(predictions, totals):
            faster, more = totals[0] / total, row["ranks"] / predictions[0]["ranks"]
            cells = [time(sum(row[phase] for phase in phases)) for phases in COLUMNS.values()]
            yield f"| {row['ranks']} | {' | '.join(cells)} | {time(total)} | {faster:.1f} | {100 * faster / more:.0f} % |"
        yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", default=str(ROOT / "Benchmarks/profiles/zen4-8cores-200gbit.json"))
    parser.add_argument("--ranks", default="8,16,32,64,128,256,512,1024")
    parser.add_argument("--shapes", nargs="+", default=[str(ROOT / "Benchmarks/shapes" / name) for name in SHAPES])
    parser.add_argument("--binary", default=str(ROOT / ".build/release/cleave"))
    parser.add_argument("--check", type=pathlib.Path)
    arguments = parser.parse_args()
    found = lines(arguments)
    if not arguments.check:
        for line in found:
            print(line, flush=True)
        return
    known = arguments.check.read_text().splitlines()
    stale = [line for line in found if line not in known]
    if stale:
        sys.exit("\n".join([f"{arguments.check} has not these lines; run {pathlib.Path(__file__).name} and put its tables there:", *stale]))


main()
