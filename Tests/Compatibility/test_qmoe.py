"""Ternary experts in QMoE's codewords, decoded by a program of their own: the dictionary, the codes and the weights."""
import json

import numpy
import pytest
from safetensors.torch import load_file

import cleave
import qmoe_reference
from test_mixtures import MODELS, compress, save, write_ids, LENGTH, WINDOWS

RULES = [{"match": "*.experts.*", "bits": "ternary"}]
SETTINGS = {
    "gptq": {"compress": {"damping": 0.1}},
    "searched": {"compress": {"bits": "ternary", "grid": "hessian"}},
    # Nothing makes up for anything: codes and numbers follow from each row alone.
    "rtn": {"compress": {"method": "rtn"}, "calibration": None},
}


def numbers(directory):
    """Tensors by name: of bf16 as float32."""
    files = sorted(directory.glob("*.safetensors"))
    tensors = {name: tensor for file in files for name, tensor in load_file(file).items()}
    return {name: (tensor if tensor.dtype.is_floating_point is False else tensor.float()).numpy() for name, tensor in tensors.items()}


def ternary(weights):
    """Codes as weights [rows, columns] of the least, of zero and of the largest weight of a row in bf16; half-way is zero."""
    def bf16(x):
        bits = x.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(numpy.uint32).view(numpy.float32)

    low, high = bf16(numpy.minimum(weights.min(1), 0))[:, None], bf16(numpy.maximum(weights.max(1), 0))[:, None]
    return numpy.where(weights < low / 2, low, numpy.where(weights > high / 2, high, numpy.float32(0)))


@pytest.fixture(scope="module", params=["mixtral", "qwen3_moe", "deepseek_v3"])
def source(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "source"
    save(*MODELS[request.param], list(MODELS).index(request.param), folder)
    return folder


@pytest.mark.parametrize("settings", SETTINGS)
def test_weights(settings, source, tmp_path):
    """Every linear decoded is what Cleave writes as dense, and every other tensor the source's."""
    output, _ = compress(source, tmp_path, {"format": "qmoe", "rules": RULES, "ignore": [], "max_shard_size": "200KB"} | SETTINGS[settings])
    cleave.run("convert", output, "--format", "dense", "--output", tmp_path / "dense")
    before, packed, dense = numbers(source), numbers(output), numbers(tmp_path / "dense")
    assert dense.keys() == before.keys()
    linears = {name.removesuffix(".w_comp") for name in packed if name.endswith(".w_comp")}
    assert linears == {name.removesuffix(".weight") for name in before if ".experts." in name} and linears
    codewords = weights = 0
    for name, value in before.items():
        linear = name.removesuffix(".weight")
        if linear not in linears:
            assert numpy.array_equal(packed[name], value) and numpy.array_equal(dense[name], value), name
            continue
        assert name not in packed
        assert packed[linear + ".w_comp"].dtype == numpy.int16 and packed[linear + ".row_off"].dtype == numpy.int32
        decoded = qmoe_reference.decode(linear, packed)
        assert numpy.array_equal(decoded, dense[name]), name
        # The longest codewords that there are, no others.
        codes = numpy.where(decoded[0] < 0, 1, numpy.where(decoded[0] > 0, 2, 0))
        first, end = packed[linear + ".row_off"][:2]
        assert packed[linear + ".w_comp"].view(numpy.uint16)[first:end].tolist() == qmoe_reference.encode(codes), name
        if settings == "rtn":
            assert numpy.array_equal(decoded, ternary(value)), name
        if settings != "searched":
            nonzero = ternary(value)
            assert numpy.array_equal(packed[linear + ".ter_minmax"].reshape(-1, 2)[:, 0], nonzero.min(1)), name
            assert numpy.array_equal(packed[linear + ".ter_minmax"].reshape(-1, 2)[:, 1], nonzero.max(1)), name
        codewords += 16 * len(packed[linear + ".w_comp"]) + 64 * len(value)
        weights += value.size
    report = cleave.report(output)
    # Offsets have one number more than rows.
    assert report["size"]["bitsPerWeight"] == pytest.approx((codewords + 32 * len(linears)) / weights)
    for linear in report["linears"]:
        decoded = dense[linear["name"] + ".weight"]
        assert linear["zeros"] == pytest.approx(float((decoded == 0).mean())) and linear["type"] == "ternary", linear["name"]
        own = 16 * len(packed[linear["name"] + ".w_comp"]) + 64 * len(decoded)
        assert linear["codewordBits"] == pytest.approx(own / decoded.size), linear["name"]
    assert json.loads((output / "config.json").read_text())["quantization_config"] == {"quant_method": "qmoe", "bits": "ternary"}


def test_verbs(source, tmp_path):
    """What reads results reads these: the same numbers as of the dense copy."""
    output, _ = compress(source, tmp_path, {"format": "qmoe", "rules": RULES, "ignore": []})
    cleave.run("convert", output, "--format", "dense", "--output", tmp_path / "dense")
    ids = write_ids(tmp_path / "evaluation.npy", 11, WINDOWS * LENGTH)
    assert cleave.perplexity(output, ids, LENGTH, WINDOWS) == cleave.perplexity(tmp_path / "dense", ids, LENGTH, WINDOWS)
    assert "is sound" in cleave.run("verify", output).stdout
    inspected = json.loads(cleave.run("inspect", output, "--json", ranks=None).stdout)
    assert inspected["format"] == "qmoe" and all(linear["type"] == "ternary" for linear in inspected["linears"])
    bits = sum(8 * linear["storedBytes"] for linear in inspected["linears"]) / sum(linear["rows"] * linear["columns"] for linear in inspected["linears"])
    assert bits == pytest.approx(cleave.report(output)["size"]["bitsPerWeight"])
