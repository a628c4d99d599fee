"""SpQR's layout decoded by a program of its own: words, outliers, orders of columns, and what config.json says of them."""
import json

import numpy
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.quantization_config import SpQRConfig

import cleave
import spqr_reference

KEPT = "model.layers.2.mlp.up_proj"
SETTINGS = {
    "groups": {},
    "act_order": {"act_order": True},
    "as_they_stand": {"act_order": False, "outlier_threshold": 0.05},
    "no_outliers": {"outlier_threshold": 1e6},
}


def numbers(directory):
    """Tensors by name: of bf16 as float32."""
    tensors = {name: tensor for file in sorted(directory.glob("*.safetensors")) for name, tensor in load_file(file).items()}
    return {name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy() for name, tensor in tensors.items()}


@pytest.fixture(scope="module", params=SETTINGS)
def result(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    cleave.compress(folder / "spqr", {
        "compress": {"method": "spqr"} | SETTINGS[request.param], "format": "spqr", "ignore": ["lm_head", KEPT], "max_shard_size": "2MB"})
    cleave.run("convert", folder / "spqr", "--format", "dense", "--output", folder / "dense")
    return request.param, folder


def test_weights(result):
    """Every linear decoded is what Cleave writes as dense, to the last bit; every other tensor is the source's."""
    name, folder = result
    before, packed, dense = numbers(cleave.MODEL), numbers(folder / "spqr"), numbers(folder / "dense")
    linears = {tensor.removesuffix(".dense_weights") for tensor in packed if tensor.endswith(".dense_weights")}
    assert dense.keys() == before.keys() and linears == {t.removesuffix(".weight") for t in before if "_proj" in t} - {KEPT}
    report = {linear["name"]: linear for linear in cleave.report(folder / "spqr")["linears"]}
    for tensor, value in before.items():
        linear = tensor.removesuffix(".weight")
        if linear not in linears:
            assert numpy.array_equal(packed[tensor], value) and numpy.array_equal(dense[tensor], value), tensor
            continue
        assert tensor not in packed
        types = {".dense_weights": numpy.int64, ".row_offsets": numpy.int32, ".col_vals": numpy.int32, ".in_perm": numpy.int32}
        assert all(packed[linear + suffix].dtype == kind for suffix, kind in types.items())
        assert len(packed[linear + ".in_perm"]) == (value.shape[1] // 2 if name == "act_order" else 0)
        decoded = spqr_reference.decode(linear, packed)
        assert dense[tensor].dtype == numpy.float16 and numpy.array_equal(decoded.view(numpy.uint16), dense[tensor].view(numpy.uint16)), tensor
        share = len(packed[linear + ".col_vals"]) / value.size
        assert (share == 0) == (name == "no_outliers") and share < 0.2, tensor
        assert report[linear]["outliers"] == pytest.approx(share)
        assert report[linear]["averageBits"] == pytest.approx(3 + 6 / 16 + 64 / 256 + 32 * share)


def test_configuration(result):
    """What transformers' quantizer asks of config.json: every linear that it would replace has its shapes, and no other is replaced."""
    _, folder = result
    configuration = json.loads((folder / "spqr/config.json").read_text())
    quantization = configuration.pop("quantization_config")
    assert configuration.get("dtype", configuration.get("torch_dtype")) == "float16"
    parsed = SpQRConfig(**{key: value for key, value in quantization.items() if key != "quant_method"})
    packed = numbers(folder / "spqr")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**configuration))
    modules = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    replaced = [name for name in modules if should_convert_module(name, parsed.modules_to_not_convert)]
    assert set(modules) - set(replaced) == {"lm_head", KEPT}
    # transformers 4 asks for the names of their weights.
    assert replaced == [name for name in modules if name + ".weight" not in parsed.modules_to_not_convert]
    expected = {f"{name}.{part}.shape": len(packed[f"{name}.{part}"]) for name in replaced for part in ("dense_weights", "row_offsets", "col_vals", "in_perm")}
    assert parsed.shapes == expected


def test_verbs(result):
    """What reads results reads these: the same numbers as of the dense copy."""
    _, folder = result
    perplexities = [cleave.perplexity(folder / kind, cleave.EVALUATION["data"], 256, 4) for kind in ("spqr", "dense")]
    assert perplexities[0] == perplexities[1]
    assert "is sound" in cleave.run("verify", folder / "spqr").stdout
    inspected = json.loads(cleave.run("inspect", folder / "spqr", "--json", ranks=None).stdout)
    assert inspected["format"] == "spqr" and all((linear["bits"], linear["group"]) == (3, 16) for linear in inspected["linears"])
    bits = sum(8 * linear["storedBytes"] for linear in inspected["linears"]) / sum(linear["rows"] * linear["columns"] for linear in inspected["linears"])
    assert bits == pytest.approx(cleave.report(folder / "spqr")["size"]["bitsPerWeight"])
