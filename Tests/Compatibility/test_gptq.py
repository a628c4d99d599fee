"""Whole runs on real layers against GPTQ in float64, its Hessians made from the layers' inputs in transformers."""
import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

import cleave
import gptq_reference
import reference
import spqr_reference

SEQUENCES, LENGTH = 24, 256
BLOCK = "model.layers.0."
# The layers of the first block by the input that they share.
STAGES = {
    "self_attn.q_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "self_attn.o_proj": ["self_attn.o_proj"],
    "mlp.gate_proj": ["mlp.gate_proj", "mlp.up_proj"],
}


def case(bits=4, group=64, symmetric=True, act_order=False, static_groups=True, grid="minmax", scales="positive"):
    return dict(bits=bits, group=group, symmetric=symmetric, scales=scales, act_order=act_order, static_groups=static_groups, grid=grid)


CASES = [
    case(),
    case(symmetric=False),
    case(static_groups=False),
    case(static_groups=False, act_order=True, symmetric=False),
    case(act_order=True),
    case(act_order=True, symmetric=False, group=32),
    case(group=-1),
    case(group=-1, act_order=True, symmetric=False),
    case(group=128),
    case(group=16, bits=3),
    case(bits=2, symmetric=False, group=32),
    case(bits=2, act_order=True, group=128),
    case(bits=8, group=-1),
    case(bits=8, group=32, symmetric=False),
    case(grid="mse"),
    case(grid="mse", act_order=True),
    case(grid="mse", bits=3, group=-1, symmetric=False),
    case(grid="hessian"),
    case(grid="hessian", static_groups=False, act_order=True, symmetric=False),
    case(grid="hessian", bits=3, group=-1),
    case(grid="solved", static_groups=False, bits=2, group=128, act_order=True),
    case(grid="solved", static_groups=False, act_order="groups"),
    case(static_groups=False, act_order="groups", symmetric=False),
    case(scales="signed", bits=3),
    case(scales="signed", bits=3, group=-1, grid="hessian"),
    case(scales="signed", bits=2, grid="mse"),
    case(scales="signed", static_groups=False, act_order="groups", grid="solved"),
]


@pytest.fixture(scope="module")
def hessians():
    """By the first layer of each stage: the sum of x x^T over the calibration's tokens, in float64."""
    windows = reference.text_windows(cleave.ROOT / "Demo/calibration.txt", cleave.MODEL, LENGTH, SEQUENCES)
    inputs = reference.inputs(reference.load(cleave.MODEL), windows, [BLOCK + name for name in STAGES])
    return {name: (x.T @ x).numpy() for name, x in inputs.items()}


@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(map(str, options.values())))
def test_weights_and_losses(options, hessians, tmp_path):
    settings = {f"compress.{name}": value for name, value in options.items()}
    # Without propagation every layer sees the dense model's activations, as the reference does.
    cleave.compress(tmp_path / "dense", settings | {
        "format": "dense", "compute": "f32", "propagation": "none", "rules": [{"match": BLOCK + "*"}], "ignore": ["*.down_proj"],
        "calibration": {"source": "Demo/calibration.txt", "sequences": SEQUENCES, "length": LENGTH, "sampling": "consecutive"}})
    source, result = load_file(cleave.MODEL / "model.safetensors"), load_file(tmp_path / "dense/model.safetensors")
    losses = {linear["name"]: linear for linear in cleave.report(tmp_path / "dense")["linears"]}
    expected_options = gptq_reference.make_options(
        options["bits"], options["group"], options["symmetric"], options["grid"], actOrder=options["act_order"] is not False,
        wholeGroups=options["act_order"] == "groups", staticGroups=options["static_groups"],
        signedScales=options["scales"] == "signed")
    assert sorted(losses) == sorted(BLOCK + name for names in STAGES.values() for name in names)
    for stage, names in STAGES.items():
        for name in names:
            weight = source[f"{BLOCK}{name}.weight"].float().numpy()
            codes, scales, zeros, loss, groups, energy = gptq_reference.gptq(weight, hessians[BLOCK + stage], expected_options)
            expected = scales[:, groups] * (codes.astype(float) - zeros[:, groups])
            # Equal codes of equal scales are equal weights.
            equal = torch.from_numpy(expected).float().bfloat16() == result[f"{BLOCK}{name}.weight"]
            # Where one number of a row falls to the other side of a tie, the rest of the row and its loss go another way.
            strayed = int((~equal).any(dim=1).sum())
            print(f"{name}: {equal.float().mean():.6f} equal, {strayed} rows strayed, loss {losses[BLOCK + name]['loss'] / loss.sum() - 1:+.1e}")
            assert strayed <= max(1, len(equal) // 100), name
            tolerance = 1e-4 if equal.all() else 2e-3
            assert losses[BLOCK + name]["loss"] == pytest.approx(loss.sum(), rel=tolerance), name
            # Measured on the first 32 rows of every fourth tile, whose height follows from the rows of the whole stage.
            stage_rows = sum(len(source[f"{BLOCK}{other}.weight"]) for other in names)
            height = min(max((stage_rows // 16 + 31) // 32 * 32, 64), 256)
            sampled = numpy.arange(len(loss)) % (4 * height) < 32
            relative = numpy.sqrt(loss[sampled].sum() / energy[sampled].sum())
            # A row that went another way weighs more among fewer rows.
            weight = 1 if equal.all() else len(loss) / sampled.sum()
            assert losses[BLOCK + name]["relativeOutputError"] == pytest.approx(relative, rel=tolerance * weight), name


@pytest.mark.parametrize("act_order", [False, True])
def test_ternary(act_order, hessians, tmp_path):
    """Three numbers for each row, chosen by GPTQ."""
    cleave.compress(tmp_path / "dense", {
        "compress": {"bits": "ternary", "act_order": act_order, "damping": 0.1}, "format": "dense", "compute": "f32", "propagation": "none",
        "rules": [{"match": BLOCK + "*"}], "ignore": ["*.down_proj"],
        "calibration": {"source": "Demo/calibration.txt", "sequences": SEQUENCES, "length": LENGTH, "sampling": "consecutive"}})
    source, result = load_file(cleave.MODEL / "model.safetensors"), load_file(tmp_path / "dense/model.safetensors")
    losses = {linear["name"]: linear for linear in cleave.report(tmp_path / "dense")["linears"]}
    for stage, names in STAGES.items():
        for name in names:
            weight = source[f"{BLOCK}{name}.weight"].float().numpy()
            codes, lows, highs, loss, _, _ = gptq_reference.gptq(
                weight, hessians[BLOCK + stage], gptq_reference.make_ternary(act_order), damping=0.1)
            expected = numpy.where(codes == 1, lows, numpy.where(codes == 2, highs, 0.0))
            equal = torch.from_numpy(expected).float().bfloat16() == result[f"{BLOCK}{name}.weight"]
            strayed = int((~equal).any(dim=1).sum())
            print(f"{name}: {equal.float().mean():.6f} equal, {strayed} rows strayed, loss {losses[BLOCK + name]['loss'] / loss.sum() - 1:+.1e}")
            assert strayed <= max(1, len(equal) // 100), name
            assert losses[BLOCK + name]["loss"] == pytest.approx(loss.sum(), rel=1e-4 if equal.all() else 2e-3), name
            assert losses[BLOCK + name]["zeros"] == pytest.approx(float((codes == 0).mean()), abs=2e-3), name


@pytest.mark.parametrize("options", [
    {}, {"act_order": True}, {"act_order": False, "bits": 4, "group": 32, "outlier_threshold": 0.1}, {"bits": 2, "damping": 0.1}],
    ids=lambda options: "-".join(map(str, options.values())) or "defaults")
def test_spqr(options, hessians, tmp_path):
    """Codes, shared scales and outliers of SpQR: weights in F32 are those that its clients decode, in half precision."""
    source = load_file(cleave.MODEL / "model.safetensors")
    model = tmp_path / "source"
    model.mkdir()
    for file in cleave.MODEL.iterdir():
        if file.name == "model.safetensors":
            save_file({name: tensor.float() for name, tensor in source.items()}, model / file.name, metadata={"format": "pt"})
        elif file.is_file():
            (model / file.name).write_bytes(file.read_bytes())
    cleave.compress(tmp_path / "dense", {
        "model": str(model), "compress": {"method": "spqr"} | options, "format": "dense", "compute": "f32", "propagation": "none",
        "rules": [{"match": BLOCK + "*"}], "ignore": ["*.down_proj"],
        "calibration": {"source": "Demo/calibration.txt", "sequences": SEQUENCES, "length": LENGTH, "sampling": "consecutive"}})
    result = load_file(tmp_path / "dense/model.safetensors")
    losses = {linear["name"]: linear for linear in cleave.report(tmp_path / "dense")["linears"]}
    order = options.get("act_order", "groups")
    expected_options = spqr_reference.make_options(
        options.get("bits", 3), options.get("group", 16), options.get("outlier_threshold", 0.2), actOrder=order is not False, wholeGroups=order == "groups")
    for stage, names in STAGES.items():
        for name in names:
            weight = source[f"{BLOCK}{name}.weight"].float().numpy()
            *_, outliers, values, loss = spqr_reference.spqr(weight, hessians[BLOCK + stage], expected_options, options.get("damping", 1))
            equal = torch.from_numpy(values.astype(numpy.float32)) == result[f"{BLOCK}{name}.weight"]
            # Blocks of 16 rows share their scales: where one row goes another way, at a tie of rounding or at the threshold, the others of its block follow.
            strayed = int((~equal).reshape(-1, 16 * equal.shape[1]).any(dim=1).sum())
            found = losses[BLOCK + name]
            print(f"{name}: {equal.float().mean():.6f} equal, {strayed} blocks strayed, loss {found['loss'] / loss.sum() - 1:+.1e}, outliers {found['outliers']:.4f}")
            assert strayed <= max(2, len(equal) // 16 // 4) and equal.float().mean() > 0.95, name
            assert found["loss"] == pytest.approx(loss.sum(), rel=1e-4 if equal.all() else 2e-3), name
            assert found["outliers"] == pytest.approx(float((outliers != 0).mean()), rel=1e-6 if equal.all() else 5e-3), name
            assert found["outliers"] > 0.002, name
