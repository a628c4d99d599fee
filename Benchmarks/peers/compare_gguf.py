#!/usr/bin/env python3
"""Perplexity, by llama.cpp, of Cleave's GGUF files beside llama.cpp's own with an importance matrix from the same text: every tensor has the same type in all.

    Benchmarks/peers/setup.sh VENVS
    VENVS/llama.cpp/bin/python Benchmarks/peers/compare_gguf.py MODEL --ids IDS.npy --evaluation IDS.npy
        [--mixtures Q4_K_M Q3_K_M Q2_K Q4_0 IQ4_NL] [--slices 3] [--sequences 32 --length 512] [--windows 20 --window 2048]
        [--beside KEY=VALUE ... --beside ...] [--set KEY=VALUE ...] [--eval] [--kept FOLDER]

MODEL is a dense Llama. The types of a mixture are those that `llama-quantize` takes. Its file is Cleave's with the blocks of each tensor made by llama.cpp's
quantizer, so all have one size. Each slice of the calibration text is a table row, and the geometric mean over them another. --set changes Cleave's recipe, and
each --beside is one more column with what it changes. --eval adds, in brackets, perplexity by `cleave eval`, without llama.cpp's rounding of activations.
--kept keeps importance matrices and figures, so that a call that was stopped goes on where it was. What each step takes is said on standard error.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import gguf
import numpy
import torch
from safetensors import safe_open

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "Tests/Compatibility"))
import kept_figures  # noqa: E402
import llama_cpp  # noqa: E402
MODULES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
MOST = {"Q8_0": "q8_0", "Q4_0": "q4_0", "IQ4_NL": "iq4_nl", "Q2_K": "q2_k", "Q3_K_S": "q3_k", "Q3_K_M": "q3_k", "Q4_K_S": "q4_k", "Q4_K_M": "q4_k",
        "Q5_K_M": "q5_k", "Q6_K": "q6_k"}


def type_of(mixture, module, block, blocks, queries_of_key):
    """The type of a linear of a dense Llama in a mixture, with an importance matrix. Source: llama.cpp, `llama-quant.cpp`, `llama_tensor_get_type_impl`."""
    has_more = block < blocks // 8 or block >= 7 * blocks // 8 or (block - blocks // 8) % 3 == 2
    usual = MOST[mixture]
    if module == "attn_v":
        return {
            "Q2_K": "q4_k" if queries_of_key >= 4 else "q3_k", "Q3_K_M": "q5_k" if block < 2 else "q4_k", "IQ4_NL": "q5_k" if queries_of_key >= 4 else usual,
            "Q4_K_M": "q6_k" if has_more else usual, "Q5_K_M": "q6_k" if has_more else usual, "Q4_K_S": "q5_k" if block < 4 else usual}.get(mixture, usual)
    if module == "ffn_down":
        return {
            "Q2_K": "q3_k", "Q3_K_M": "q5_k" if block < blocks // 16 else "q4_k", "Q4_K_M": "q6_k" if has_more else usual,
            "Q5_K_M": "q6_k" if has_more else usual, "Q4_K_S": "q5_k" if block < blocks // 8 else usual,
            "Q4_0": "q4_1" if block < blocks // 8 else usual}.get(mixture, usual)
    if module == "attn_output":
        return {"Q2_K": "q3_k", "Q3_K_M": "q4_k"}.get(mixture, usual)
    return usual


def run(*command, **environment):
    done = subprocess.run([str(part) for part in command], env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


@contextlib.contextmanager
def timed(step):
    start = time.monotonic()
    yield
    print(f"{step}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def cleave(arguments, *command):
    return run("mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", arguments.threads, arguments.binary, *command, OMP_NUM_THREADS="1")


def compress(arguments, config, mixture, slice_number, settings, output):
    blocks = config["num_hidden_layers"]
    share = config["num_attention_heads"] // config["num_key_value_heads"]
    types = {f"model.layers.{block}.{name}": type_of(mixture, module, block, blocks, share) for block in range(blocks) for module, name in MODULES.items()}
    others = [{"match": name, "type": kind} for name, kind in types.items() if kind != MOST[mixture]]
    calibration = {
        "source": arguments.ids, "sequences": arguments.sequences, "length": arguments.length, "sampling": "consecutive", "skip": slice_number * arguments.sequences}
    recipe = {
        "calibration": calibration, "compress": {"type": MOST[mixture]}, "rules": [*others, {"match": "*"}], "ignore": ["lm_head"], "format": "gguf",
        "max_shard_size": "100GB"}
    path = output.with_suffix(".yaml")
    # JSON is YAML.
    path.write_text(json.dumps(recipe))
    changes = [part for one in (*arguments.set, *settings) for part in ("--set", one)]
    cleave(arguments, "compress", path, "--model", arguments.model, "--output", output, *changes)


def source_weights(model):
    """name -> fp32 [rows, columns]"""
    weights = {}
    for path in sorted(pathlib.Path(model).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            weights |= {name: file.get_tensor(name).to(torch.float32).numpy() for name in file.keys()}
    return weights


def quantize(ours, theirs, weights, importance, config):
    """A copy of Cleave's result in which llama.cpp has made the blocks."""
    shutil.copytree(ours, theirs)
    with open(theirs / "model.gguf", "r+b") as file:
        for tensor in gguf.GGUFReader(ours / "model.gguf").tensors:
            if tensor.tensor_type in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16):
                continue
            if tensor.name == "token_embd.weight":
                module = "model.embed_tokens"
            elif tensor.name == "output.weight":
                module = "lm_head"
            else:
                _, block, part, _ = tensor.name.split(".")
                module = f"model.layers.{block}.{MODULES[part]}"
            weight = weights[module + ".weight"]
            if module.endswith((".q_proj", ".k_proj")):
                # llama.cpp rotates neighbours.
                heads = config["num_attention_heads" if module.endswith(".q_proj") else "num_key_value_heads"]
                weight = weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)
            # As by llama-imatrix, which leaves the head out unless it is told otherwise.
            blocks = llama_cpp.quantize(weight, tensor.tensor_type.value, importance[module] if module.startswith("model.layers") else None)
            assert len(blocks) == tensor.n_bytes, tensor.name
            file.seek(tensor.data_offset)
            file.write(blocks.tobytes())


def measure(arguments, ids, result):
    """By llama.cpp and, where it is asked for, by `cleave eval`."""
    figures = [llama_cpp.perplexity(result / "model.gguf", ids, arguments.window, arguments.threads)]
    if arguments.eval:
        windows = ["--sequences", arguments.windows, "--length", arguments.window]
        figures.append(json.loads(cleave(arguments, "eval", result, "--data", arguments.evaluation, *windows, "--json"))["perplexity"])
    return figures


def importance_matrix(arguments, slice_number):
    path = arguments.kept / f"importance-{slice_number}.npz"
    if not path.exists():
        with timed(f"importance matrix of slice {slice_number + 1}"):
            run(sys.executable, HERE / "importance.py", arguments.model, arguments.ids, arguments.sequences, arguments.length, slice_number, path)
    return numpy.load(path)


def names_of_columns(arguments):
    return ["llama.cpp's", "Cleave's", *map(" ".join, arguments.beside)]


def row(arguments, config, weights, ids, mixture, slice_number, folder, figures):
    """The file's bytes, and the perplexities of llama.cpp's file, of Cleave's, and of Cleave's with the settings of each --beside."""
    columns = ["llama.cpp", [], *arguments.beside]
    names = names_of_columns(arguments)
    keys = [[mixture, slice_number, column, arguments.set if column != "llama.cpp" else []] for column in columns]
    size_key = [mixture, "bytes"]
    ours, theirs = folder / "ours", folder / "theirs"
    # Cleave's file by default settings comes before llama.cpp's, which is made from it.
    for place in (1, 0, *range(2, len(columns))):
        if figures.find(keys[place]) is not None:
            continue
        name = f"{mixture}, slice {slice_number + 1}, {names[place]}"
        result = ours if place else theirs
        if place or not ours.exists():
            shutil.rmtree(ours, ignore_errors=True)
            with timed(f"{name}: compression"):
                compress(arguments, config, mixture, slice_number, columns[max(place, 1)], ours)
            if figures.find(size_key) is None:
                figures.add(size_key, (ours / "model.gguf").stat().st_size)
        if not place:
            with timed(f"{name}: blocks"):
                quantize(ours, theirs, weights, importance_matrix(arguments, slice_number), config)
        assert (result / "model.gguf").stat().st_size == figures.find(size_key), "files of one mixture differ in size"
        with timed(f"{name}: perplexity"):
            figures.add(keys[place], measure(arguments, ids, result))
    for result in (ours, theirs):
        shutil.rmtree(result, ignore_errors=True)
    return figures.find(size_key), [figures.find(key) for key in keys]


def cell(figures):
    first, *others = (f"{figure:.3f}" for figure in figures)
    return f"{first} ({others[0]})" if others else first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ids", required=True)
    parser.add_argument("--evaluation", required=True)
    parser.add_argument("--mixtures", nargs="+", choices=MOST, default=["Q4_K_M", "Q3_K_M", "Q2_K", "Q4_0", "IQ4_NL"])
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--sequences", type=int, default=32, help="of a slice")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="changes Cleave's recipe")
    parser.add_argument("--beside", action="append", nargs="+", default=[], metavar="KEY=VALUE", help="one more column, with these changes of Cleave's recipe")
    parser.add_argument("--eval", action="store_true", help="also perplexity by cleave eval")
    parser.add_argument("--kept", type=pathlib.Path, help="a folder in which matrices and figures stay")
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/release/cleave"))
    arguments = parser.parse_args()
    arguments.ids = str(pathlib.Path(arguments.ids).absolute())
    config = json.loads((pathlib.Path(arguments.model) / "config.json").read_text())
    if config["model_type"] != "llama" or config["num_hidden_layers"] == 80:
        parser.error("the types of mixtures are written down for dense Llamas of other than 80 blocks alone")
    ids = numpy.load(arguments.evaluation)[: arguments.windows * arguments.window].reshape(arguments.windows, arguments.window)
    weights = source_weights(arguments.model)
    columns = ["mixture", "file", "slice", *names_of_columns(arguments)]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        arguments.kept = arguments.kept or folder
        figures = kept_figures.of(arguments.kept, arguments)
        for mixture in arguments.mixtures:
            rows = []
            for slice_number in range(arguments.slices):
                size, found = row(arguments, config, weights, ids, mixture, slice_number, folder, figures)
                rows.append(found)
                print(f"| {mixture} | {size / 1e6:.1f} MB | {slice_number + 1} | {' | '.join(map(cell, found))} |", flush=True)
            means = [numpy.exp(numpy.log(of_column).mean(0)) for of_column in zip(*rows)]
            print(f"| {mixture} | {size / 1e6:.1f} MB | mean | {' | '.join(map(cell, means))} |", flush=True)


if __name__ == "__main__":
    main()
