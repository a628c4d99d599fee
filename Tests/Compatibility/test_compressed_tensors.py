"""Checkpoints in compressed-tensors' format, as transformers and the compressed-tensors package read them."""
import json

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors import safe_open
from transformers import CompressedTensorsConfig

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
    "w3-g64": {"compress.bits": 3},
    "w3-channel-asymmetric": {"compress.bits": 3, "compress.group": -1, "compress.symmetric": False},
    "w2-g32-asymmetric": {"compress.bits": 2, "compress.group": 32, "compress.symmetric": False},
    "mixed": {
        "rules": [{"match": "*.mlp.*", "bits": 8, "group": 32}, {"match": "*.o_proj", "group": -1}, {"match": "*"}],
        "ignore": ["lm_head", "model.layers.0.*", "*.k_proj"]},
    "w2-g64": {"compress.bits": 2},
    "w4-g64-positive": {"compress.scales": "positive"},
    "rtn": {"compress.method": "rtn", "compress.grid": "minmax"},
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


def schemes(directory, packed):
    """The scheme of every packed linear, as the package reads it from config.json."""
    groups = json.loads((directory / "config.json").read_text())["quantization_config"]["config_groups"].values()
    names = [name.removesuffix(".weight_packed") for name in packed if name.endswith(".weight_packed")]
    return {name: QuantizationScheme(**next(g for g in groups if g["targets"] == ["Linear"] or name in g["targets"])) for name in names}


def parts(packed, name):
    """The tensors of a packed linear, its scales in fp32."""
    own = {key.removeprefix(name + "."): tensor for key, tensor in packed.items() if key.startswith(name + ".")}
    return own | {"weight_scale": own["weight_scale"].float()}


def load(directory):
    """The model that transformers makes of a packed checkpoint."""
    packed = tensors(directory)
    found = list(schemes(directory, packed).items())
    if all(scheme.weights.symmetric for _, scheme in found):
        return reference.load(directory)
    if all(scheme == found[0][1] for _, scheme in found):
        # Kept packed, transformers 5.23 gives zero points the shape that they have unpacked, and refuses every asymmetric checkpoint.
        return reference.load(directory, quantization_config=CompressedTensorsConfig(dequantize=True))
    # Unpacking while it loads, it takes the first scheme for all linears; here the package's own unpacking stands in.
    model = reference.load(cleave.MODEL)
    for name, scheme in found:
        model.get_submodule(name).weight.data = PackedQuantizationCompressor.decompress(parts(packed, name), scheme)["weight"]
    return model


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
    expected = reference.perplexity(load(checkpoints / "packed"), windows)
    assert cleave.perplexity(checkpoints / "packed", **cleave.EVALUATION) == pytest.approx(expected, rel=1e-3)


def test_codes(checkpoints):
    """The package unpacks the weights of the dense result, and packs them to the same words again."""
    packed, dense, source = (tensors(path) for path in (checkpoints / "packed", checkpoints / "dense", cleave.MODEL))
    found = schemes(checkpoints / "packed", packed)
    assert found and dense.keys() == source.keys()
    # Scales have both signs where grids are symmetric and the recipe does not ask for positive ones.
    signed = all(scheme.weights.symmetric for scheme in found.values()) and "positive" not in checkpoints.name
    assert any((parts(packed, linear)["weight_scale"] < 0).any() for linear in found) == signed
    for name, weight in dense.items():
        linear = name.removesuffix(".weight")
        if linear not in found:
            assert torch.equal(packed[name], source[name]) and torch.equal(weight, source[name]), name
            continue
        own = parts(packed, linear)
        unpacked = PackedQuantizationCompressor.decompress(own, found[linear])
        assert torch.equal(unpacked["weight"].bfloat16(), weight), name
        assert not torch.equal(weight, source[name]), f"{name} was not compressed"
        again = PackedQuantizationCompressor.compress(unpacked, found[linear])
        for part in own:
            assert torch.equal(again[part], own[part]), f"{linear}.{part}"


def test_shards(tmp_path, windows):
    cleave.compress(tmp_path / "whole", {})
    cleave.compress(tmp_path / "cut", {"max_shard_size": "2MB"})
    shards = sorted((tmp_path / "cut").glob("*.safetensors"))
    assert len(shards) > 1
    whole, cut = tensors(tmp_path / "whole"), tensors(tmp_path / "cut")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)
    assert reference.perplexity(reference.load(tmp_path / "cut"), windows) == pytest.approx(
        cleave.perplexity(tmp_path / "cut", **cleave.EVALUATION), rel=1e-3)
    index = json.loads((tmp_path / "cut/model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == cut.keys()
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in cut.values())


# What the format cannot carry, and a part of the sentence that says so.
REFUSED = {
    "a group that does not divide": ({"compress.group": 128}, "704 columns are not a multiple of the group of 128"),
    "groups of permuted columns": ({"compress.act_order": True, "compress.static_groups": False}, "static_groups: true"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path, windows):
    settings, sentence = REFUSED[case]
    message = cleave.compress(tmp_path / "packed", settings, code=65).stderr
    assert sentence in message, message
    assert not (tmp_path / "packed/config.json").exists()
    cleave.compress(tmp_path / "dense", settings | {"format": "dense"})
    expected = reference.perplexity(reference.load(tmp_path / "dense"), windows)
    assert cleave.perplexity(tmp_path / "dense", **cleave.EVALUATION) == pytest.approx(expected, rel=1e-3)
