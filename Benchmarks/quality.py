#!/usr/bin/env python3
"""Perplexity of a model under many settings: the quality tables of docs/benchmarks.md.

    Benchmarks/quality.py --model DIR --calibration TEXT --evaluation TEXT [--mixture] [--only NAME ...] [--windows 20] [--window 2048] [--ranks 2] [--slices 3]

Each setting is compressed on consecutive slices of 32 x 512 calibration tokens and evaluated on the first 20 x 2048 tokens of the evaluation
text in fp32; the figure is the geometric mean over the slices, since a single one moves by a few percent between equally valid runs. Results
are kept in --results (JSON lines), so that a run that was stopped goes on where it was. With --mixture the settings are those of a mixture's
experts, pruned, quantized and both; bits are then those of a weight of the source's experts.
"""
import argparse
import itertools
import json
import math
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLAIN = {"act_order": "false", "static_groups": "false"}
PUBLISHED = {"act_order": "true", "static_groups": "true"}
WIDTHS = {"W4 g64": {}, "W3 g64 (dense)": {"bits": 3, "format": "dense"}, "W2 g64 (dense)": {"bits": 2, "format": "dense"}}
LEVERS = {"equalized": {"equalize": "true"}, "rotated": {"rotate": "hadamard"}, "target dense": {"target": "dense"}}
SETTINGS = {
    "W8 g64": {"bits": 8},
    "W3 g64 (dense), rotated, target dense, damping 0.1": {"bits": 3, "format": "dense", "rotate": "hadamard", "target": "dense", "damping": 0.1},
    # Each width by itself, with each of the levers, and with any of them together.
    **{
        ", ".join([width, *levers]): {key: value for part in (WIDTHS[width], *map(LEVERS.get, levers)) for key, value in part.items()}
        for width in WIDTHS
        for count in range(len(LEVERS) + 1)
        for levers in itertools.combinations(LEVERS, count)
    },
    **{
        f"W{bits} g64{suffix}, equalized, rotated, target dense, stream {strength}": {
            "bits": bits, "equalize": "true", "rotate": "hadamard", "target": "dense", "stream_strength": strength, **more}
        for bits, suffix, more in ((4, "", {}), (3, " (dense)", {"format": "dense"}))
        for strength in (0.5, 1)
    },
    "W4 g64, scales positive": {"scales": "positive"},
    "W3 g64 (dense), scales positive": {"bits": 3, "format": "dense", "scales": "positive"},
    "W4 g64 asymmetric": {"symmetric": "false"},
    "W4 g128 (dense)": {"group": 128, "format": "dense"},
    "W3 g16 (dense)": {"bits": 3, "group": 16, "format": "dense"},
    "SpQR W3 g16": {"method": "spqr", "group": 16, "format": "spqr"},
    "SpQR W3 g16, damping 0.01": {"method": "spqr", "group": 16, "format": "spqr", "damping": 0.01},
    "SpQR W3 g16, damping 0.1": {"method": "spqr", "group": 16, "format": "spqr", "damping": 0.1},
    "SpQR W3 g16, act-order": {"method": "spqr", "group": 16, "format": "spqr", "act_order": "true"},
    "SpQR W3 g16, no act-order": {"method": "spqr", "group": 16, "format": "spqr", "act_order": "false"},
    "SpQR W3 g16, no outliers": {"method": "spqr", "group": 16, "format": "spqr", "outlier_threshold": 1e6},
    "average 3.25 g64 of 2, 3 and 4 bits": {"bits": {"average": 3.25, "choices": [2, 3, 4]}},
    "average 3.25 g64 of 2, 3 and 4 bits, equalized, rotated, target dense": {
        "bits": {"average": 3.25, "choices": [2, 3, 4]}, "equalize": "true", "rotate": "hadamard", "target": "dense"},
    **{
        f"average 3.25 of {name}, equalized, rotated, target dense": {
            "bits": {"average": 3.25, **choices}, "format": "dense", "equalize": "true", "rotate": "hadamard", "target": "dense"}
        for name, choices in {
            "3 and 4 bits, g64 and g128": {"choices": [3, 4], "groups": [64, 128]},
            "2, 3 and 4 bits, g32, g64 and g128": {"choices": [2, 3, 4], "groups": [32, 64, 128]},
            "3 bits, g32, g64 and g128": {"choices": [3], "groups": [32, 64, 128]},
        }.items()
    },
    "average 4.25 g64 of 2, 3, 4 and 8 bits": {"bits": {"average": 4.25}},
    "W4 g64, grid minmax, no act-order": {"grid": "minmax", **PLAIN},
    "W4 g64, grid mse, no act-order": {"grid": "mse", **PLAIN},
    "W4 g64, grid hessian, no act-order": {"grid": "hessian", **PLAIN},
    "W4 g64, grid solved, no act-order": {"grid": "solved", **PLAIN},
    "W4 g64, grid minmax, act-order, static groups": {"grid": "minmax", **PUBLISHED},
    "W4 g64, grid mse, act-order, static groups": {"grid": "mse", **PUBLISHED},
    "W4 g64, grid hessian, act-order, static groups": {"grid": "hessian", **PUBLISHED},
    # `grid: solved` in the default order is the rows without a grid above.
    **{
        f"W{bits} g64, grid {grid}{suffix}": {"bits": bits, "grid": grid, **more}
        for bits, suffix, more in ((4, "", {}), (3, " (dense)", {"format": "dense"}), (2, " (dense)", {"format": "dense"}))
        for grid in ("minmax", "mse", "hessian")
    },
    "W4 g64, propagation block": {"propagation": "block"},
    "W4 g64, propagation none": {"propagation": "none"},
    "RTN W8 g64": {"method": "rtn", "bits": 8},
    "RTN W4 g64": {"method": "rtn"},
    "RTN W4 g64 asymmetric": {"method": "rtn", "symmetric": "false"},
    "RTN W3 g64 (dense)": {"method": "rtn", "bits": 3, "format": "dense"},
    "RTN W2 g64 (dense)": {"method": "rtn", "bits": 2, "format": "dense"},
    **{
        f"{name} {sparsity}{suffix}": {"method": name.lower(), "sparsity": sparsity, **more}
        for name, suffixes in {"SparseGPT": ("", " + W4 g64"), "ADMM": ("",), "Wanda": ("",), "magnitude": ("", " + W4 g64")}.items()
        for sparsity in (0.5, 0.7, "2:4")
        for suffix, more in {"": {}, " + W4 g64": {"bits": 4}}.items()
        if suffix in suffixes
    },
}
# `keep`: the share of experts that `cleave prune-experts` leaves; everything but the experts keeps its weights.
MIXTURE_SETTINGS = {
    f"{keep} of the experts{f', W{bits} g64' if bits else ''}": {"keep": keep, "rules": [{"match": "*.experts.*"}], **({"bits": bits} if bits else {})}
    for keep in (1, 0.75, 0.5, 0.375)
    for bits in (None, 4, 3, 2)
} | {
    # As in Configs/qmoe.yaml; the two numbers are those of a row.
    "1 of the experts, ternary": {"keep": 1, "rules": [{"match": "*.experts.*"}], "bits": "ternary", "damping": 0.1, "format": "qmoe"}
}
# All linears, of experts and others, with the dense model's outputs as target of none, of those outside experts, and of all.
MIXTURE_SETTINGS |= {
    f"W{bits} g32{suffix}": {"bits": bits, "group": 32, "format": "dense", **more}
    for bits in (4, 3, 2)
    for suffix, more in {
        "": {}, ", target dense outside experts": {"target": "dense", "rules": [{"match": "*.experts.*", "target": "layer"}, {"match": "*"}]},
        ", target dense": {"target": "dense"}}.items()
}
TOP_LEVEL = {"format", "propagation", "rotate", "equalize", "rules"}


def recipe(arguments, settings, slice_number):
    """A whole recipe as JSON, which is YAML."""
    compress = {key: value for key, value in settings.items() if key not in TOP_LEVEL | {"keep"}}
    if compress.get("bits") != "ternary" and ("sparsity" not in compress or "bits" in compress):
        bits = compress.get("bits")
        compress = compress if isinstance(bits, dict) and "groups" in bits else {"group": 64, **compress}
    calibration = dict(source=arguments.calibration, sequences=32, length=512, sampling="consecutive", skip=32 * slice_number)
    top = {key: value for key, value in settings.items() if key in TOP_LEVEL}
    return json.dumps(dict(calibration=calibration, compress=compress, ignore=["lm_head"], **top)).replace('"true"', "true").replace('"false"', "false")


def cleave(arguments, *command):
    launcher = ["mpirun", "--allow-run-as-root", "--bind-to", "core", "-n", str(arguments.ranks), "-x", "OMP_NUM_THREADS=1"]
    done = subprocess.run([*launcher, arguments.binary, *command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def evaluate(arguments, directory):
    reference = ["--reference", arguments.model] if arguments.divergence else []
    windows = ["--sequences", str(arguments.windows), "--length", str(arguments.window)]
    report = json.loads(cleave(arguments, "eval", str(directory), *reference, "--data", arguments.evaluation, *windows, "--json"))
    return {"perplexity": report["perplexity"], **report.get("comparison", {})}


def measure(arguments, settings, slice_number):
    with tempfile.TemporaryDirectory() as folder:
        path, output, model = pathlib.Path(folder) / "recipe.yaml", pathlib.Path(folder) / "out", arguments.model
        if settings.get("keep", 1) < 1:
            model = str(pathlib.Path(folder) / "pruned")
            cleave(
                arguments, "prune-experts", arguments.model, "--keep", str(settings["keep"]), "--data", arguments.calibration, "--sequences", "64", "--length", "512",
                "--output", model)
        if is_dense(settings):
            return {**evaluate(arguments, model), "bits": 16 * settings["keep"], "seconds": 0}
        path.write_text(recipe(arguments, settings, slice_number))
        report = json.loads(cleave(arguments, "compress", str(path), "--model", model, "--output", str(output), "--json"))
        size = report["size"]
        bits = size["bitsPerOriginalExpertWeight"] if settings.get("keep", 1) < 1 else size["bitsPerWeight"]
        return {**evaluate(arguments, output), "bits": bits, "seconds": report["wallSeconds"]}


def is_dense(settings):
    """Whether experts are taken out (or none is), and nothing is compressed."""
    return "keep" in settings and "bits" not in settings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "calibration", "evaluation"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--only", nargs="*", help="names of settings; left out: all")
    parser.add_argument("--mixture", action="store_true", help="the settings of a mixture's experts, in BF16")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--binary", default=str(ROOT / ".build/release/cleave"))
    parser.add_argument("--divergence", action="store_true", help="measure the mean KL divergence from the source's predictions, in nats, too")
    parser.add_argument("--results", default="quality.jsonl")
    arguments = parser.parse_args()
    results = pathlib.Path(arguments.results)
    known = {}
    if results.exists():
        for line in results.read_text().splitlines():
            entry = json.loads(line)
            known[entry["setting"], entry["slice"]] = entry
    print("| setting | perplexity | per slice | bits per weight |" + (" divergence |" if arguments.divergence else ""))
    print("|---|---|---|---|" + ("---|" if arguments.divergence else ""))
    of_names = MIXTURE_SETTINGS if arguments.mixture else SETTINGS
    for name in arguments.only or of_names:
        settings = of_names[name]
        slices = 1 if settings.get("method") in ("rtn", "magnitude") or is_dense(settings) else arguments.slices
        entries = []
        for number in range(slices):
            if (name, number) not in known:
                known[name, number] = dict(setting=name, slice=number, **measure(arguments, settings, number))
                with results.open("a") as file:
                    file.write(json.dumps(known[name, number]) + "\n")
            entries.append(known[name, number])
        mean = math.exp(sum(math.log(e["perplexity"]) for e in entries) / len(entries))
        each = ", ".join(f"{e['perplexity']:.2f}" for e in entries)
        divergence = f" {sum(e['divergence'] for e in entries) / len(entries):.4f} |" if arguments.divergence else ""
        print(f"| {name} | {mean:.2f} | {each} | {entries[0]['bits']:.2f} |{divergence}", flush=True)


if __name__ == "__main__":
    main()
