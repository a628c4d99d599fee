"""Checkpoints in compressed-tensors' format, as transformers and the compressed-tensors package read them."""
import json

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from safetensors import safe_open

import cleave
import reference

# Settings of the recipe by name; what a name leaves out is the demo's: 4 bits, groups of 64, symmetric, act-order with static groups.
RECIPES = {
    "w4-g64": {},
    "w4-g64-asymmetric": {"compress.symmetric": False},
    "w4-g64-unordered": {"compress.act_order": False},
    "w4-channel": {"compress.group": -1},
    "w8-channel": {"compress.bits": 8, "compress.group": -1},
    "w8-g128-asymmetric": {
        # 704 columns are no multiple of 128.
        "compress.bits": 8, "compress.symmetric": False,
        "rules": [{"match": "*.down_proj", "group": 64}, {"match": "*", "group": 128}]},
    "w2-g32-asymmetric": {"compress.bits": 2, "compress.group": 32, "compress.symmetric": False},
    "mixed": {
        "rules": [{"match": "*.mlp.*", "bits": 8, "group": 32}, {"match": "*", "symmetric": False}],
        "ignore": ["lm_head", "model.layers.0.*", "*.k_proj"]},
    "rtn": {"compress.method": "rtn", "compress.grid": "minmax"},
    "shards": {"max_shard_size": "2MB"},
}


def tensors(directory):
    """Every tensor of a checkpoint, from all its shards."""
    result = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                assert name not in result, f"{name} lies in two files"
                result[name] = file.get_tensor(name)
    return result


def dequantized(packed, name, bits):
    """The weight of a packed linear, in fp32, unpacked by the compressed-tensors package."""
    shape = torch.Size(packed[name + ".weight_shape"].tolist())
    scale = packed[name + ".weight_scale"].float()
    codes = unpack_from_int32(packed[name + ".weight_packed"], bits, shape).float()
    if name + ".weight_zero_point" in packed:
        zeros = unpack_from_int32(packed[name + ".weight_zero_point"], bits, torch.Size([shape[0], scale.shape[1]]), packed_dim=0).float()
    else:
        zeros = torch.zeros_like(scale)
    width = shape[1] // scale.shape[1]
    return (codes - zeros.repeat_interleave(width, 1)) * scale.repeat_interleave(width, 1)


def bits_by_linear(directory, packed):
    groups = json.loads((directory / "config.json").read_text())["quantization_config"]["config_groups"].values()
    names = [name.removesuffix(".weight_packed") for name in packed if name.endswith(".weight_packed")]
    return {name: next(g["weights"]["num_bits"] for g in groups if name in g["targets"] or g["targets"] == ["Linear"]) for name in names}


@pytest.fixture(scope="module")
def windows():
    return reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, cleave.EVALUATION["length"], cleave.EVALUATION["sequences"])


@pytest.fixture(scope="module", params=RECIPES)
def checkpoints(request, tmp_path_factory):
    """A recipe's result in both formats."""
    folder = tmp_path_factory.mktemp(request.param)
    cleave.compress(folder / "packed", RECIPES[request.param])
    cleave.compress(folder / "dense", RECIPES[request.param] | {"format": "dense"})
    return folder


def test_source_perplexity(windows):
    assert reference.perplexity(reference.load(cleave.MODEL), windows) == pytest.approx(
        cleave.perplexity(cleave.MODEL, **cleave.EVALUATION), rel=1e-4)


def test_transformers_perplexity(checkpoints, windows):
    expected = reference.perplexity(reference.load(checkpoints / "packed"), windows)
    assert cleave.perplexity(checkpoints / "packed", **cleave.EVALUATION) == pytest.approx(expected, rel=5e-3)
    dense = reference.perplexity(reference.load(checkpoints / "dense"), windows)
    assert cleave.perplexity(checkpoints / "dense", **cleave.EVALUATION) == pytest.approx(dense, rel=1e-3)


def test_codes_are_those_of_the_dense_result(checkpoints):
    packed, dense, source = (tensors(path) for path in (checkpoints / "packed", checkpoints / "dense", cleave.MODEL))
    bits = bits_by_linear(checkpoints / "packed", packed)
    assert bits and dense.keys() == source.keys()
    for name, weight in dense.items():
        linear = name.removesuffix(".weight")
        if linear in bits:
            assert torch.equal(dequantized(packed, linear, bits[linear]).bfloat16(), weight), name
            assert not torch.equal(weight, source[name]), f"{name} was not compressed"
        else:
            assert torch.equal(packed[name], source[name]) and torch.equal(weight, source[name]), name


def test_generation(checkpoints):
    """The compressed layers run in transformers' own loop."""
    model = reference.load(checkpoints / "packed")
    output = model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert output.shape == (1, 7)


def test_shards(tmp_path, windows):
    cleave.compress(tmp_path / "whole", {})
    cleave.compress(tmp_path / "cut", {"max_shard_size": "2MB"})
    shards = sorted((tmp_path / "cut").glob("*.safetensors"))
    assert len(shards) > 1
    whole, cut = tensors(tmp_path / "whole"), tensors(tmp_path / "cut")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    index = json.loads((tmp_path / "cut/model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == cut.keys()
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in cut.values())


# What the format cannot carry, and a part of the sentence that says so.
REFUSED = {
    "3 bits": ({"compress.bits": 3}, "3-bit codes"),
    "a group that does not divide": ({"compress.group": 128}, "704 columns are not a multiple of the group of 128"),
    "groups of permuted columns": ({"compress.static_groups": False}, "static_groups: true"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path, windows):
    settings, sentence = REFUSED[case]
    message = cleave.compress(tmp_path / "packed", settings, code=65).stderr
    assert sentence in message and "format: dense" in message, message
    assert not (tmp_path / "packed/config.json").exists()
    cleave.compress(tmp_path / "dense", settings | {"format": "dense"})
    expected = reference.perplexity(reference.load(tmp_path / "dense"), windows)
    assert cleave.perplexity(tmp_path / "dense", **cleave.EVALUATION) == pytest.approx(expected, rel=1e-3)
