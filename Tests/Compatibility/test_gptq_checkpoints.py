"""Checkpoints in GPTQ's format, as GPTQModel and transformers load them, and in Marlin's, by its published packing."""
import json
import re

import numpy
import pytest
import torch
import transformers
from gptqmodel import BACKEND, GPTQModel
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from safetensors.torch import load_file

import cleave
import reference

# Settings of the recipe by name; what a name leaves out is the demo's: 4 bits, groups of 64, symmetric, act-order of whole groups.
ASYMMETRIC = {"compress.symmetric": False}
RECIPES = {
    "w4-g64": {"format": "gptq"},
    "w4-g64-v2": {"format": "gptq_v2"},
    "w8-channel": {"format": "gptq", "compress.bits": 8, "compress.group": -1},
    "w2-g16-asymmetric-v2": {"format": "gptq_v2", "compress.bits": 2, "compress.group": 16} | ASYMMETRIC,
    "w3-g32-asymmetric-v2": {"format": "gptq_v2", "compress.bits": 3, "compress.group": 32} | ASYMMETRIC,
    "w3-g64": {"format": "gptq", "compress.bits": 3},
    "w4-g64-positive": {"format": "gptq", "compress.scales": "positive"},
    "w2-g64": {"format": "gptq", "compress.bits": 2},
    "permuted-asymmetric-v2": {"format": "gptq_v2", "compress.act_order": True, "compress.static_groups": False} | ASYMMETRIC,
    "permuted": {"format": "gptq", "compress.act_order": True, "compress.static_groups": False},
    "some": {"format": "gptq", "ignore": ["lm_head", "*.k_proj", "*.down_proj"]},
    "mixed-v2": {
        "format": "gptq_v2",
        "rules": [{"match": "*.mlp.*", "bits": 8, "group": 32}, {"match": "*.o_proj", "group": -1}, {"match": "*"}],
        "ignore": ["lm_head", "model.layers.0.*", "*.k_proj"]},
}
# GPTQModel takes the first version with asymmetric codes from itself alone; its packing code reads them here.
UNPACKED = {f"w{bits}-g32-asymmetric": {"format": "gptq", "compress.bits": bits, "compress.group": 32} | ASYMMETRIC for bits in (2, 3, 4, 8)}


@pytest.fixture(scope="module")
def windows():
    return reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, 64, 4)


@pytest.fixture(scope="module", params=RECIPES)
def checkpoints(request, tmp_path_factory):
    """A recipe's result, and what `cleave convert` makes of it dense."""
    folder = tmp_path_factory.mktemp(request.param)
    cleave.compress(folder / "packed", RECIPES[request.param])
    cleave.run("convert", folder / "packed", "--format", "dense", "--output", folder / "dense")
    return folder


def quantized(model):
    return {name: module for name, module in model.named_modules() if hasattr(module, "qweight")}


def expect_same_weights(found, folder):
    """found: names to weights [rows, columns] in half precision, for every compressed linear."""
    packed, dense = load_file(folder / "packed/model.safetensors"), load_file(folder / "dense/model.safetensors")
    assert found.keys() == {name.removesuffix(".qweight") for name in packed if name.endswith(".qweight")}
    # Scales have both signs where grids are symmetric and the recipe does not ask for positive ones.
    signed = not any(word in folder.name for word in ("asymmetric", "positive"))
    assert any((scales < 0).any() for name, scales in packed.items() if name.endswith(".scales")) == signed
    for name, weight in found.items():
        # Half precision and the bf16 of the dense weights round the same products.
        expected = dense[name + ".weight"].float()
        assert torch.allclose(weight.float(), expected, rtol=2**-8 + 2**-10, atol=2**-24), name


def test_gptqmodel(checkpoints, windows):
    """The weights that its CPU kernel unpacks, and the perplexity with that kernel in half precision."""
    model = GPTQModel.load(str(checkpoints / "packed"), backend=BACKEND.GPTQ_TORCH, device="cpu", dtype=torch.float16).model
    modules = quantized(model)
    assert all(isinstance(module, TorchLinear) for module in modules.values())
    expect_same_weights({name: module.dequantize_weight().T for name, module in modules.items()}, checkpoints)
    assert reference.perplexity(model, windows) == pytest.approx(
        cleave.perplexity(checkpoints / "packed", cleave.EVALUATION["data"], 64, 4), rel=5e-3)


def test_transformers(checkpoints, windows):
    """With whichever kernel it chooses; it knows nothing of linears that differ from each other."""
    if "dynamic" in json.loads((checkpoints / "packed/config.json").read_text())["quantization_config"] and "mixed" in checkpoints.name:
        pytest.skip("transformers reads no `dynamic`")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(checkpoints / "packed", dtype=torch.float16, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    packed = load_file(checkpoints / "packed/model.safetensors")
    assert sum(type(module).__name__.endswith("Linear") and type(module) is not torch.nn.Linear for module in model.modules()) == sum(
        name.endswith(".qweight") for name in packed)
    assert reference.perplexity(model, windows) == pytest.approx(
        cleave.perplexity(checkpoints / "packed", cleave.EVALUATION["data"], 64, 4), rel=5e-3)


@pytest.mark.parametrize("name", UNPACKED)
def test_first_version_asymmetric(name, tmp_path):
    cleave.compress(tmp_path / "packed", UNPACKED[name])
    cleave.run("convert", tmp_path / "packed", "--format", "dense", "--output", tmp_path / "dense")
    from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

    tensors, bits = load_file(tmp_path / "packed/model.safetensors"), UNPACKED[name]["compress.bits"]
    found = {}
    for linear in (key.removesuffix(".qweight") for key in tensors if key.endswith(".qweight")):
        own = {part: tensors[f"{linear}.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx")}
        module = TorchLinear(
            bits=bits, group_size=32, sym=False, desc_act=False, in_features=own["g_idx"].numel(), out_features=own["scales"].shape[1], bias=False,
            pack_dtype=torch.int32, register_buffers=True)
        module.load_state_dict(own)
        convert_gptq_v1_to_v2_format_module(module, bits, torch.int32)
        module.post_init()
        found[linear] = module.dequantize_weight().T
    expect_same_weights(found, tmp_path)


def marlin_weights(B, s, columns):
    """The weights of a Marlin linear, [rows, columns], by the packing that the format publishes."""
    order = []
    for lane in range(32):
        ones = [16 * row + lane // 4 + 8 * block for block in (0, 1) for row in (
            2 * (lane % 4), 2 * (lane % 4) + 1, 2 * (lane % 4 + 4), 2 * (lane % 4 + 4) + 1)]
        order += [place + 256 * tile for tile in range(4) for place in ones]
    order = numpy.array(order).reshape(-1, 8)[:, [0, 2, 4, 6, 1, 3, 5, 7]].ravel()
    words, rows = B.numpy().view(numpy.uint32), B.shape[1] // 2
    places = numpy.stack([(words >> (4 * nibble)) & 15 for nibble in range(8)], -1).reshape(-1, 1024)
    codes = numpy.empty_like(places)
    codes[:, order] = places
    codes = codes.reshape(columns // 16, rows // 16, 16, 16).transpose(0, 2, 1, 3).reshape(columns, rows).astype(numpy.float64)
    if s.shape[0] > 1:
        scale_order = [i + 8 * j for i in range(8) for j in range(8)]
    else:
        scale_order = [2 * i + j for i in range(4) for j in (0, 1, 8, 9, 16, 17, 24, 25)]
    placed = s.double().numpy().reshape(-1, len(scale_order))
    scales = numpy.empty_like(placed)
    scales[:, scale_order] = placed
    scales = scales.reshape(s.shape).repeat(columns // s.shape[0], 0)
    return torch.from_numpy((scales * (codes - 8)).T)


@pytest.mark.parametrize("group", [128, -1])
def test_marlin(group, tmp_path):
    settings = {"format": "marlin", "compress.group": group, "ignore": ["lm_head", "*.mlp.*", "*.k_proj", "*.v_proj"]}
    cleave.compress(tmp_path / "packed", settings)
    cleave.run("convert", tmp_path / "packed", "--format", "dense", "--output", tmp_path / "dense")
    packed, dense = load_file(tmp_path / "packed/model.safetensors"), load_file(tmp_path / "dense/model.safetensors")
    names = [name.removesuffix(".B") for name in packed if name.endswith(".B")]
    assert len(names) == 16 and any((packed[name + ".s"] < 0).any() for name in names)
    for name in names:
        expected = dense[name + ".weight"]
        found = marlin_weights(packed[name + ".B"], packed[name + ".s"], expected.shape[1])
        assert torch.equal(found.float().bfloat16(), expected), name
    quantization = json.loads((tmp_path / "packed/config.json").read_text())["quantization_config"]
    assert quantization["checkpoint_format"] == "marlin" and quantization["group_size"] == group


REFUSED = {
    "marlin, shapes": ({"format": "marlin", "compress.group": -1}, r"rows in multiples of 256, and its shape is \[128, 256\]"),
    "marlin, groups": ({"format": "marlin"}, "groups of 128 columns or whole rows"),
    "marlin, bits": ({"format": "marlin", "compress.group": -1, "compress.bits": 8}, "symmetric codes of 4 bits"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    settings, sentence = REFUSED[case]
    message = cleave.compress(tmp_path / "packed", settings, code=65).stderr
    assert re.search(sentence, message), message
    assert not (tmp_path / "packed/config.json").exists()
