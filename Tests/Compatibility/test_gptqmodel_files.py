"""Checkpoints that GPTQModel itself has made: read by Cleave with the weights that GPTQModel computes from them."""
import json
import shutil
import subprocess
import sys

import numpy
import pytest
import torch
from gptqmodel import BACKEND, GPTQModel
from safetensors.torch import load_file

import cleave
import make_checkpoints

LENGTH, SEQUENCES = 64, 32
OPTIONS = dict(
    hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=256, max_position_embeddings=128,
    tie_word_embeddings=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    make_checkpoints.make_model("llama", OPTIONS, 3).bfloat16().save_pretrained(folder / "model")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(cleave.MODEL / file, folder / "model")
    numpy.save(folder / "ids.npy", numpy.random.default_rng(5).integers(0, 256, SEQUENCES * LENGTH, dtype=numpy.int32))
    return folder


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("act_order", [True, False])
def test_files(source, act_order, symmetric, tmp_path):
    options = (["act-order"] if act_order else []) + ([] if symmetric else ["asymmetric"])
    done = subprocess.run(
        [sys.executable, cleave.ROOT / "Benchmarks/peers/gptqmodel_gptq.py", source / "model", source / "ids.npy", str(SEQUENCES), str(LENGTH), "4", "32",
         tmp_path / "theirs", *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    configuration = json.loads((tmp_path / "theirs/config.json").read_text())["quantization_config"]
    assert (configuration["desc_act"], configuration["sym"]) == (act_order, symmetric)
    listing = cleave.run("inspect", tmp_path / "theirs", ranks=None).stdout
    assert configuration["checkpoint_format"] in listing and "4 bits" in listing, listing

    cleave.run("convert", tmp_path / "theirs", "--format", "dense", "--output", tmp_path / "dense", ranks=None)
    dense, packed = load_file(tmp_path / "dense/model.safetensors"), load_file(tmp_path / "theirs/model.safetensors")
    model = GPTQModel.load(str(tmp_path / "theirs"), backend=BACKEND.GPTQ_TORCH, device="cpu", dtype=torch.float16).model
    modules = {name: module for name, module in model.named_modules() if hasattr(module, "qweight")}
    assert modules.keys() == {name.removesuffix(".qweight") for name in packed if name.endswith(".qweight")} and len(modules) == 14
    # With act-order a column's group is not that of its place.
    assert act_order == any((packed[f"{name}.g_idx"].diff() < 0).any() for name in modules)
    for name, module in modules.items():
        expected, found = module.dequantize_weight().T.float(), dense[name + ".weight"].float()
        # Half precision and bf16 round the same products.
        assert torch.allclose(found, expected, rtol=2**-8 + 2**-10, atol=2**-24), name
        assert not torch.equal(found, load_file(source / "model/model.safetensors")[name + ".weight"].float())
