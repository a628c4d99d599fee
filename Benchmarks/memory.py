#!/usr/bin/env python3
"""Compress a model on ranks that are each confined to a limit, and compare their resident memory with the bound that the plan printed.

    Benchmarks/make_model.py models/8b --blocks 32 --intermediate 14336 --kv-heads 8 --vocab 128256    # 16 GB
    Benchmarks/memory.py models/8b --limit 1.5GiB [--ranks 4] [--sequences 8] [--length 512] [--output out/memory] [--keep] [-- more of cleave compress]

The limit is given to the plan (--memory-per-rank) and to each rank: as RLIMIT_DATA, beyond which the kernel gives no private memory. That counts what is
reserved, not what is resident, and BLAS and thread stacks reserve some 300 MiB that they never touch: --reserve is added for it. With --cgroup DIR, a
cgroup (version 1, memory) in which groups may be made, each rank is confined to the limit itself, caches of files included. The resident set of each
rank (shared libraries and messages included) is sampled from /proc. Ends with one line of JSON; the exit code is 1 when a rank went above the bound.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("--limit", help="of a rank, such as 1.5GiB; without it nothing is confined")
parser.add_argument("--reserve", default="320MiB", help="address space beside the limit that libraries reserve and do not touch")
parser.add_argument("--cgroup", type=pathlib.Path)
parser.add_argument("--ranks", type=int, default=4)
parser.add_argument("--sequences", type=int, default=8)
parser.add_argument("--length", type=int, default=512)
parser.add_argument("--group", type=int, default=128)
parser.add_argument("--output", type=pathlib.Path, default=root / "out/memory")
parser.add_argument("--keep", action="store_true", help="keep the result")
parser.add_argument("--interval", type=float, default=0.05, help="seconds between samples")
own = sys.argv[1:sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
arguments, more = parser.parse_args(own), sys.argv[len(own) + 2:]
binary = os.environ.get("CLEAVE_BINARY", str(root / ".build/release/cleave"))

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}


def byte_count(text):
    number, unit = re.fullmatch(r"([0-9.]+) *([A-Za-z]+)", text).groups()
    return int(float(number) * UNITS[unit])


def resident(pid):
    """VmRSS in bytes; 0 when the process has gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def digest(directory):
    """SHA-256 over names and bytes of the result's files."""
    total = hashlib.sha256()
    for path in sorted(p for p in directory.iterdir() if p.is_file()):
        total.update(path.name.encode())
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                total.update(piece)
    return total.hexdigest()


limit = byte_count(arguments.limit) if arguments.limit else None
shutil.rmtree(arguments.output, ignore_errors=True)
with tempfile.TemporaryDirectory() as scratch:
    recipe = pathlib.Path(scratch) / "recipe.yaml"
    recipe.write_text(json.dumps({
        "model": str(arguments.model), "output": str(arguments.output),
        "calibration": {"source": str(arguments.model / "ids.npy"), "sequences": arguments.sequences, "length": arguments.length},
        "compress": {"bits": 4, "group": arguments.group}, "ignore": ["lm_head"],
    }))
    # Each rank says which process it is, and confines itself.
    confine = f"ulimit -d {limit + byte_count(arguments.reserve) >> 10} && " if limit else ""
    groups = []
    if limit and arguments.cgroup:
        groups = [arguments.cgroup / f"cleave-rank-{rank}" for rank in range(arguments.ranks)]
        for group in groups:
            group.mkdir(exist_ok=True)
            (group / "memory.limit_in_bytes").write_text(str(limit))
        confine = f"echo $$ > {arguments.cgroup}/cleave-rank-$OMPI_COMM_WORLD_RANK/cgroup.procs && "
    shell = f'{confine}echo $$ > {scratch}/rank.$OMPI_COMM_WORLD_RANK && exec "$@"'
    command = ["mpirun", "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--allow-run-as-root", "-n", str(arguments.ranks), "sh", "-c", shell, "sh",
               binary, "compress", str(recipe), *(["--memory-per-rank", str(limit)] if limit else []), *more]
    start = time.monotonic()
    process = subprocess.Popen(command, env=dict(os.environ, OMP_NUM_THREADS="1"))
    pids, sampled = {}, {}
    while process.poll() is None:
        for path in pathlib.Path(scratch).glob("rank.*"):
            text = path.read_text().strip()
            if text:
                pids[int(path.suffix[1:])] = int(text)
        for rank, pid in pids.items():
            sampled[rank] = max(sampled.get(rank, 0), resident(pid))
        time.sleep(arguments.interval)
    seconds = time.monotonic() - start
    for group in groups:
        time.sleep(0.1)
        group.rmdir()
if process.returncode:
    sys.exit(process.returncode)

report = json.loads((arguments.output / "cleave/report.json").read_text())
bound = report["memory"]["boundBytes"]
peaks = [rank["peakMemoryBytes"] for rank in report["ranks"]]
model_bytes = sum(path.stat().st_size for path in arguments.model.glob("*.safetensors"))
result = {
    "model_bytes": model_bytes, "ranks": arguments.ranks, "limit": limit, "bound": bound, "phases": report["memory"]["phases"],
    "peaks": peaks, "sampled": [sampled.get(rank, 0) for rank in range(arguments.ranks)], "share_of_bound": round(max(peaks) / bound, 3),
    "total_peak_of_model": round(sum(peaks) / model_bytes, 3), "seconds": round(seconds, 1), "sha256": digest(arguments.output),
}
print(json.dumps(result))
if not arguments.keep:
    shutil.rmtree(arguments.output)
sys.exit(0 if max(peaks) <= bound else 1)
