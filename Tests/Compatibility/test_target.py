"""`target: dense`: weights begin where a least-squares fit in double precision, on transformers' activations, has them."""
import numpy
import pytest
import torch

import cleave
import reference

torch.set_num_threads(1)
WINDOWS, LENGTH = 24, 128
LINEAR = "model.layers.1.self_attn.q_proj"


def inputs(model, windows):
    """What the linear's weights are multiplied with: [tokens, columns] in double precision."""
    found = []
    hook = model.get_submodule(LINEAR).register_forward_pre_hook(lambda module, inputs: found.append(inputs[0].flatten(0, 1)))
    with torch.no_grad():
        for window in windows:
            model(window[None])
    hook.remove()
    return torch.cat(found).double().numpy()


def shifted(weights, dense, compressed, strength, damping=0.01):
    """W + strength W S, where each row of S is shrunk to what it explains of its column's mismatch."""
    hessian, mismatch = compressed.T @ compressed, (dense - compressed).T @ compressed
    hessian += damping * numpy.mean(numpy.diag(hessian)) * numpy.eye(len(hessian))
    solution = numpy.linalg.solve(hessian, mismatch.T).T
    # Y with Y R^T = M, the damped Hessian being R R^T: its squares are what is explained.
    explained = (solution * mismatch).sum(1)
    shares = numpy.clip(explained / ((dense - compressed) ** 2).sum(0), 0, 1)
    return weights + strength * weights @ (shares[:, None] * solution), hessian


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_weights_begin_at_the_least_squares_fit(strength, tmp_path):
    ids = tmp_path / "ids.npy"
    numpy.save(ids, numpy.random.default_rng(5).integers(0, 4096, WINDOWS * LENGTH, dtype=numpy.int32))
    rules = [
        # A first block that computes something else than it did.
        {"match": "model.layers.0.*", "method": "rtn", "grid": "minmax", "bits": 2, "group": -1},
        # So many bits that what is left of rounding is little beside the shift.
        {"match": LINEAR, "bits": 8, "target": "dense", "target_strength": strength},
    ]
    cleave.compress(
        tmp_path / "out",
        {
            "calibration": dict(source=str(ids), sequences=WINDOWS, length=LENGTH, sampling="consecutive"), "compute": "f32", "format": "dense",
            "rules": rules, "ignore": [], "evaluation": None,
        })
    windows = torch.from_numpy(numpy.load(ids)).long().reshape(WINDOWS, LENGTH)
    source, result = reference.load(cleave.MODEL), reference.load(tmp_path / "out")
    dense, compressed = inputs(source, windows), inputs(result, windows)
    weights, found = (model.get_submodule(LINEAR).weight.detach().double().numpy() for model in (source, result))
    expected, hessian = shifted(weights, dense, compressed, strength)

    def size(difference):
        return numpy.einsum("ij,jk,ik->", difference, hessian, difference)

    shift = size(expected - weights)
    assert shift > 0.001 * size(weights), "the inputs hardly differ"
    assert size(found - expected) < 0.01 * shift
    # The outputs are nearer to those of the dense model than with the weights as they were.
    error = lambda weights_now: numpy.square(dense @ weights.T - compressed @ weights_now.T).sum()
    assert error(found) < 0.95 * error(weights)
