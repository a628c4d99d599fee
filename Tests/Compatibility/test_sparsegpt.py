"""Whole runs of pruning on real layers against SparseGPT in float64, its Hessians made from the layers' inputs in transformers, and what clients load."""
import json

import numpy
import pytest
import torch
from safetensors.torch import load_file

import cleave
import reference
import sparsegpt_reference
from sparsegpt_reference import make_case
from test_gptq import BLOCK, LENGTH, SEQUENCES, STAGES, hessians  # noqa: F401 (a fixture)

CASES = [
    make_case("0.5"),
    make_case("0.7", maskBlock=64),
    make_case("2:4"),
    make_case("4:8"),
    make_case("0.5", bits=4, group=64, grid="solved"),
    make_case("0.5", bits=4, group=64, grid="mse", signedScales=True),
    make_case("2:4", bits=4, group=32, grid="mse", symmetric=False),
    make_case("0.5", bits=3, group=-1, grid="hessian", symmetric=False),
    make_case("0.5", "wanda"),
    make_case("0.5", "magnitude", bits=8, group=64),
    make_case("0.5", "magnitude", bits=4, group=64, signedScales=True),
]


def settings_of(options):
    result = {"method": options["method"], "sparsity": options["sparsity"]}
    if options["method"] == "sparsegpt" and ":" not in options["sparsity"]:
        result["mask_block"] = options["maskBlock"]
    if options["quantization"]:
        result |= {key: options["quantization"][key] for key in ("bits", "group", "symmetric", "grid")}
        if result["symmetric"]:
            result["scales"] = "signed" if options["quantization"]["signedScales"] else "positive"
    return result


@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(map(str, settings_of(options).values())))
def test_masks_weights_and_losses(options, hessians, tmp_path):  # noqa: F811
    # Without propagation every layer sees the dense model's activations, as the reference does.
    cleave.compress(tmp_path / "dense", {
        "compress": settings_of(options), "format": "dense", "compute": "f32", "propagation": "none", "rules": [{"match": BLOCK + "*"}],
        "ignore": ["*.down_proj"],
        "calibration": {"source": "Demo/calibration.txt", "sequences": SEQUENCES, "length": LENGTH, "sampling": "consecutive"}})
    source, result = load_file(cleave.MODEL / "model.safetensors"), load_file(tmp_path / "dense/model.safetensors")
    report = {linear["name"]: linear for linear in cleave.report(tmp_path / "dense")["linears"]}
    for stage, names in STAGES.items():
        for name in names:
            weight = source[f"{BLOCK}{name}.weight"].float().numpy()
            expected, loss = sparsegpt_reference.solve(weight, hessians[BLOCK + stage], options)
            expected = torch.from_numpy(expected).float().bfloat16()
            found = result[f"{BLOCK}{name}.weight"]
            masks = ((found == 0) == (expected == 0)).float().mean().item()
            equal = (found == expected).float().mean().item()
            zeros = (found == 0).float().mean().item()
            print(f"{name}: {masks:.6f} of the mask and {equal:.6f} of the weights equal, {zeros:.4f} zero, loss {report[BLOCK + name]['loss'] / loss.sum() - 1:+.1e}")
            # A score beside the threshold may fall on its other side in fp32, and what comes after it in the row goes another way.
            assert masks >= 0.9995 and equal >= 0.99, name
            assert report[BLOCK + name]["loss"] == pytest.approx(loss.sum(), rel=1e-4 if masks == 1 else 1e-3), name
            assert report[BLOCK + name]["sparsity"] == pytest.approx(zeros, abs=1e-6), name


@pytest.mark.parametrize("format", ["dense", "compressed-tensors"])
def test_transformers_loads_pruned_linears(format, tmp_path):
    cleave.compress(tmp_path / "out", {
        "compress": {"method": "sparsegpt", "sparsity": "2:4"}, "format": format,
        "rules": [{"match": "*.down_proj", "bits": 4, "group": 64}, {"match": "*.o_proj", "method": "gptq", "group": 64}, {"match": "*"}]})
    configuration = json.loads((tmp_path / "out/config.json").read_text())
    assert ("quantization_config" in configuration) == (format == "compressed-tensors")
    model = reference.load(tmp_path / "out")
    weight = model.get_submodule(BLOCK + "mlp.up_proj").weight
    assert ((weight.reshape(-1, 4) == 0).sum(1) == 2).all()
    windows = reference.text_windows(cleave.EVALUATION["data"], cleave.MODEL, cleave.EVALUATION["length"], cleave.EVALUATION["sequences"])
    expected = reference.perplexity(model, windows)
    assert cleave.perplexity(tmp_path / "out", **cleave.EVALUATION) == pytest.approx(expected, rel=2e-3)
    assert numpy.isfinite(expected)
