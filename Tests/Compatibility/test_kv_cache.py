"""Scales of a server's cache of keys and values: the largest that transformers puts into its own cache, and results that it loads."""
import json

import numpy
import pytest
import torch
import transformers

import cleave
import make_checkpoints
import reference
from test_compressed_tensors import tensors

# Plain attention, norms of heads, windows with capped scores, two rotations, cut keys and values, and mixtures.
FAMILIES = ["llama-tied-grouped", "qwen3", "gemma2", "gemma3", "phi3", "olmoe-clipped", "qwen3-moe", "mixtral"]
VARIANTS = {name: (model_type, options) for name, model_type, options in make_checkpoints.variants(64, 3, 256, 160)}
WINDOWS, LENGTH = 6, 120


@torch.no_grad()
def largest(model, windows):
    """The largest |k| and |v| of each head in transformers' cache: [layers, 2, heads]"""
    found = []
    for window in windows:
        cache = transformers.DynamicCache()
        model(window[None], past_key_values=cache, use_cache=True)
        found.append(torch.stack([
            torch.stack([part.abs().amax((0, 2, 3)) for part in (layer.keys, layer.values)]) for layer in cache.layers]))
    return torch.stack(found).amax(0).double()


def scales(directory, layers):
    """k_scale and v_scale of each layer: [layers, 2, scales]"""
    found = tensors(directory)
    parts = [[found[f"model.layers.{layer}.self_attn.{part}_scale"] for part in "kv"] for layer in range(layers)]
    return torch.stack([torch.stack([part.flatten() for part in pair]) for pair in parts]).double(), parts[0][0]


def compress(folder, source, settings):
    recipe = {
        "model": str(source), "output": str(folder / "packed"), "compute": "f32", "compress": {"bits": 4, "group": -1}, "ignore": ["lm_head"]} | settings
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    cleave.run("compress", folder / "recipe.yaml")
    cleave.run("convert", folder / "packed", "--format", "dense", "--output", folder / "dense", ranks=None)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strategy", ["tensor", "attn_head"])
def test_scales_of_families(family, strategy, tmp_path):
    make_checkpoints.make_model(*VARIANTS[family], seed=3).save_pretrained(tmp_path / "source")
    ids = numpy.random.default_rng(1).integers(0, 256, WINDOWS * LENGTH, dtype=numpy.int64)
    numpy.save(tmp_path / "ids.npy", ids)
    calibration = {"source": str(tmp_path / "ids.npy"), "sequences": WINDOWS, "length": LENGTH, "sampling": "consecutive"}
    compress(tmp_path, tmp_path / "source", {"calibration": calibration, "kv_cache": {"type": "fp8", "strategy": strategy}})
    model = reference.load(tmp_path / "dense")
    seen = largest(model, torch.from_numpy(ids).reshape(WINDOWS, LENGTH))
    found, first = scales(tmp_path / "packed", model.config.num_hidden_layers)
    heads = seen.shape[2]
    assert list(first.shape) == ([heads, 1, 1] if strategy == "attn_head" else [1])
    expected = (seen if strategy == "attn_head" else seen.amax(2, keepdim=True)) / 448
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)
    # Neither is the other, nor that of another layer, unless all values are cut at the same magnitude.
    assert found.flatten().unique().numel() == found.numel() or family == "olmoe-clipped"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    calibration = {"source": str(cleave.ROOT / "Demo/calibration.txt"), "sequences": 8, "length": 128, "sampling": "consecutive"}
    compress(folder, cleave.MODEL, {"calibration": calibration, "kv_cache": "fp8", "compress": {"type": "fp8"}})
    return folder


def test_scales_of_the_demo(demo):
    """Scales are stored in BF16."""
    windows = reference.text_windows(cleave.ROOT / "Demo/calibration.txt", cleave.MODEL, 128, 8)
    found, _ = scales(demo / "packed", 8)
    torch.testing.assert_close(found, largest(reference.load(demo / "dense"), windows).amax(2, keepdim=True) / 448, rtol=1e-2, atol=0)


@torch.no_grad()
def test_transformers_loads_the_result(demo):
    """Every scale finds its place, no tensor is left over, and without rounding logits are those of the weights alone."""
    packed = reference.load(demo / "packed", torch.bfloat16)
    stored, loaded = tensors(demo / "packed"), packed.state_dict()
    names = [f"model.layers.{layer}.self_attn.{part}_scale" for layer in range(8) for part in "kv"]
    assert all(torch.equal(loaded[name].flatten().float(), stored[name].float()) for name in names)
    windows = reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, 128, 2)
    packed(windows[:1])
    for module in packed.modules():
        if hasattr(module, "quantization_scheme"):
            module.quantization_enabled = False
    dense = reference.load(demo / "dense", torch.bfloat16)
    assert torch.equal(packed(windows, use_cache=False).logits, dense(windows, use_cache=False).logits)
