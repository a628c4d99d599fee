"""Results in FP8, INT8, MXFP8, MXFP4 and NVFP4, as the compressed-tensors package and transformers read them."""
import json

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig, QuantizationScheme

import cleave
import reference
from test_compressed_tensors import tensors

# `compress` of the recipe, and rules beside it.
RECIPES = {
    "fp8": {"compress": {"type": "fp8"}},
    "fp8-tensor": {"compress": {"type": "fp8", "strategy": "tensor"}},
    # 704 columns are no multiple of 128.
    "fp8-block": {"compress": {"type": "fp8", "strategy": "block"}, "rules": [{"match": "*.down_proj", "strategy": "channel"}, {"match": "*"}]},
    "int8": {"compress": {"type": "int8"}},
    "mxfp8": {"compress": {"type": "mxfp8"}},
    "mxfp4": {"compress": {"type": "mxfp4"}},
    "nvfp4": {"compress": {"type": "nvfp4"}},
    "fp8-static": {"compress": {"type": "fp8", "activations": "static"}},
    "fp8-weights": {"compress": {"type": "fp8", "strategy": "tensor", "activations": "none"}},
    "int8-static": {"compress": {"type": "int8", "activations": "static"}},
    "nvfp4-static": {"compress": {"type": "nvfp4", "activations": "static"}},
    "rtn": {"compress": {"type": "nvfp4", "method": "rtn"}},
    "mxfp4-mxfp4": {"compress": {"type": "mxfp4", "activations": "dynamic"}},
    "mxfp4-fp8": {"compress": {"type": "mxfp4", "activation_type": "fp8"}},
    "mxfp4-mxfp8": {"compress": {"type": "mxfp4", "activation_type": "mxfp8"}},
    # 704 columns are no groups of 128.
    "w4afp8": {
        "compress": {"bits": 4, "group": 128, "scales": "positive", "activation_type": "fp8"},
        "rules": [{"match": "*.down_proj", "type": "fp8"}, {"match": "*"}]},
    "mixed": {
        "compress": {"type": "fp8"},
        "rules": [{"match": "*.mlp.*", "type": "nvfp4"}, {"match": "*.0.self_attn.o_proj", "type": "int", "bits": 4, "group": 64}, {"match": "*"}],
        "ignore": ["lm_head", "model.layers.1.mlp.down_proj"]},
}
CALIBRATION = cleave.ROOT / "Demo/calibration.txt"


@pytest.fixture(scope="module", params=RECIPES)
def result(request, tmp_path_factory):
    """A recipe's result, and the same as a dense checkpoint."""
    folder = tmp_path_factory.mktemp(request.param)
    cleave.compress(folder / "packed", RECIPES[request.param] | {"calibration.sequences": 4, "calibration.length": 128, "evaluation": None})
    cleave.run("convert", folder / "packed", "--format", "dense", "--output", folder / "dense", ranks=None)
    return folder


@pytest.fixture(scope="module")
def windows():
    return reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, cleave.EVALUATION["length"], 4)


def schemes(directory):
    """Names of linears -> format and scheme, as config.json has them; a class stands for all others."""
    config = json.loads((directory / "config.json").read_text())["quantization_config"]
    # What the package takes for a whole configuration.
    QuantizationConfig(**{key: value for key, value in config.items() if key != "global_compression_ratio"})
    return {target: (group["format"], QuantizationScheme(**group)) for group in config["config_groups"].values() for target in group["targets"]}


def test_weights(result):
    """The package makes of every compressed linear what Cleave writes as dense."""
    packed, dense, source = (tensors(path) for path in (result / "packed", result / "dense", cleave.MODEL))
    found = schemes(result / "packed")
    assert dense.keys() == source.keys()
    compressed = 0
    for name, weight in dense.items():
        linear = name.removesuffix(".weight")
        if f"{linear}.weight_scale" not in packed:
            assert torch.equal(weight, source[name]), name
            continue
        compressed += 1
        form, scheme = found.get("Linear") or found[linear]
        parts = {key.removeprefix(linear + "."): tensor for key, tensor in packed.items() if key.startswith(linear + ".")}
        unpacked = BaseCompressor.get_value_from_registry(form).decompress(parts, scheme)["weight"]
        assert torch.equal(unpacked.bfloat16(), weight), name
        assert not torch.equal(weight, source[name]), f"{name} was not compressed"
    assert compressed > 50


@torch.no_grad()
def test_transformers(result, windows):
    """With weights alone in small numbers, logits are those of the dense checkpoint, and cleave's perplexity is that of both."""
    # The package unpacks numbers of few bits to BF16 whatever the model's type.
    packed, dense = (reference.load(result / name, torch.bfloat16) for name in ("packed", "dense"))
    # The first pass unpacks; then activations stay as they are.
    packed(windows[:1])
    scheme = False
    for module in packed.modules():
        if hasattr(module, "quantization_scheme"):
            module.quantization_enabled, scheme = False, True
    assert scheme
    for name, weight in dense.named_parameters():
        assert torch.equal(packed.get_parameter(name), weight), name
    assert torch.equal(packed(windows[:2]).logits, dense(windows[:2]).logits)
    expected = reference.perplexity(reference.load(result / "dense"), windows)
    measured = cleave.perplexity(result / "packed", cleave.EVALUATION["data"], cleave.EVALUATION["length"], 4)
    assert measured == pytest.approx(expected, rel=5e-3)


@torch.no_grad()
def test_activations(result, windows):
    """What the scheme says of activations, transformers computes: another perplexity, and a near one."""
    measured, weights_alone = (reference.perplexity(reference.load(result / name, torch.bfloat16), windows) for name in ("packed", "dense"))
    assert measured == pytest.approx(weights_alone, rel=0.05)
    rounded = any(scheme.input_activations is not None for _, scheme in schemes(result / "packed").values())
    assert (measured != weights_alone) == rounded


def test_parts_of_a_fused_linear_share_a_global_scale(tmp_path):
    cleave.compress(tmp_path / "packed", {"compress": {"type": "nvfp4", "method": "rtn"}, "evaluation": None})
    packed, source = tensors(tmp_path / "packed"), tensors(cleave.MODEL)
    for block in range(2):
        for module, parts in (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")), ("mlp", ("down_proj",))):
            names = [f"model.layers.{block}.{module}.{part}" for part in parts]
            largest = max(source[name + ".weight"].float().abs().max() for name in names)
            for name in names:
                assert packed[name + ".weight_global_scale"].item() == pytest.approx(448 * 6 / largest.item(), rel=1e-6)


@pytest.mark.parametrize(
    "numbers, part, scale",
    [("fp8", "input_scale", lambda largest: largest / 448), ("int8", "input_scale", lambda largest: largest / 127.5),
     ("nvfp4", "input_global_scale", lambda largest: 448 * 6 / largest)])
def test_scales_of_static_activations(tmp_path, numbers, part, scale):
    """They follow from the largest input that transformers sees on the calibration's tokens, in the model whose weights are the result's."""
    calibration = {"source": str(CALIBRATION), "sequences": 4, "length": 128, "sampling": "consecutive"}
    cleave.compress(
        tmp_path / "packed",
        {"calibration": calibration, "compress": {"type": numbers, "activations": "static"}, "compute": "f32", "evaluation": None})
    cleave.run("convert", tmp_path / "packed", "--format", "dense", "--output", tmp_path / "dense", ranks=None)
    packed, model = tensors(tmp_path / "packed"), reference.load(tmp_path / "dense")
    names = [name.removesuffix("." + part) for name in packed if name.endswith("." + part)]
    assert len(names) == 7 * model.config.num_hidden_layers
    windows = reference.text_windows(CALIBRATION, cleave.MODEL, 128, 4)
    for name, inputs in reference.inputs(model, windows, names).items():
        assert packed[f"{name}.{part}"].item() == pytest.approx(scale(inputs.abs().max().item()), rel=1e-2), name
