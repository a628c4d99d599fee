"""`target: dense`: weights begin where a least-squares fit in double precision, on transformers' activations, has them."""
import json
import shutil

import numpy
import pytest
import torch

import cleave
import reference

torch.set_num_threads(1)
WINDOWS, LENGTH = 24, 128
LINEAR = "model.layers.1.self_attn.q_proj"


def inputs(model, windows, name=LINEAR):
    """What goes into a module: [tokens, columns] in double precision."""
    found = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda module, inputs: found.append(inputs[0].flatten(0, 1)))
    with torch.no_grad():
        for window in windows:
            model(window[None])
    hook.remove()
    return torch.cat(found).double().numpy()


def fit(inputs, missing, damping=0.01):
    """The least-squares map from inputs to what is missing, [columns of missing, columns of inputs], each row shrunk to what it explains; and the Hessian."""
    hessian, mismatch = inputs.T @ inputs, missing.T @ inputs
    hessian += damping * numpy.mean(numpy.diag(hessian)) * numpy.eye(len(hessian))
    solution = numpy.linalg.solve(hessian, mismatch.T).T
    # Y with Y R^T = M, the damped Hessian being R R^T: its squares are what is explained.
    explained = (solution * mismatch).sum(1)
    shares = numpy.clip(explained / (missing ** 2).sum(0), 0, 1)
    return shares[:, None] * solution, hessian


def size(difference, hessian):
    """What a difference of weights does to outputs: its squares."""
    return numpy.einsum("ij,jk,ik->", difference, hessian, difference)


def compressed_model(tmp_path, model, rule):
    """A model with another first block, and a linear in 8 bits, so that what is left of rounding is little beside a shift; and windows of its ids."""
    ids = tmp_path / "ids.npy"
    numpy.save(ids, numpy.random.default_rng(5).integers(0, 4096, WINDOWS * LENGTH, dtype=numpy.int32))
    rules = [
        {"match": "model.layers.0.*", "method": "rtn", "grid": "minmax", "bits": 2, "group": -1},
        {"bits": 8, "target": "dense"} | rule,
    ]
    cleave.compress(
        tmp_path / "out",
        {
            "model": str(model), "calibration": dict(source=str(ids), sequences=WINDOWS, length=LENGTH, sampling="consecutive"), "compute": "f32",
            "format": "dense", "rules": rules, "ignore": [], "evaluation": None,
        })
    windows = torch.from_numpy(numpy.load(ids)).long().reshape(WINDOWS, LENGTH)
    return reference.load(model), reference.load(tmp_path / "out"), windows


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_weights_begin_at_the_least_squares_fit(strength, tmp_path):
    source, result, windows = compressed_model(tmp_path, cleave.MODEL, {"match": LINEAR, "target_strength": strength})
    dense, compressed = inputs(source, windows), inputs(result, windows)
    weights, found = (model.get_submodule(LINEAR).weight.detach().double().numpy() for model in (source, result))
    map_of_inputs, hessian = fit(compressed, dense - compressed)
    expected = weights + strength * weights @ map_of_inputs

    shift = size(expected - weights, hessian)
    assert shift > 0.001 * size(weights, hessian), "the inputs hardly differ"
    assert size(found - expected, hessian) < 0.01 * shift
    # The outputs are nearer to those of the dense model than with the weights as they were.
    error = lambda weights_now: numpy.square(dense @ weights.T - compressed @ weights_now.T).sum()
    assert error(found) < 0.95 * error(weights)


def scaled_model(directory, multiplier):
    """The demo's model with outputs that are multiplied before they join the residual stream, which Granite does."""
    shutil.copytree(cleave.MODEL, directory)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    size = config["hidden_size"] // config["num_attention_heads"]
    config |= dict(
        model_type="granite", architectures=["GraniteForCausalLM"], embedding_multiplier=1.0, attention_multiplier=size ** -0.5,
        residual_multiplier=multiplier, logits_scaling=1.0)
    path.write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize("linear, norm, strengths, multiplier", [
    ("self_attn.o_proj", "input_layernorm", (1.0, 1.0), None),
    ("mlp.down_proj", "post_attention_layernorm", (0.5, 0.8), None),
    ("mlp.down_proj", "post_attention_layernorm", (0.0, 1.0), None),
    ("self_attn.o_proj", "input_layernorm", (1.0, 0.7), 0.4),
])
def test_the_stream_is_made_up_for(linear, norm, strengths, multiplier, tmp_path):
    """W + a W S + b T / scale, where T maps the linear's inputs to what the stream that its outputs join has lost."""
    model = cleave.MODEL if multiplier is None else scaled_model(tmp_path / "granite", multiplier)
    linear, norm, scale = f"model.layers.1.{linear}", f"model.layers.1.{norm}", multiplier or 1.0
    source, result, windows = compressed_model(
        tmp_path, model, {"match": linear, "target_strength": strengths[0], "stream_strength": strengths[1]})
    # The norm before this half of the block reads the stream that the linear's outputs are added to.
    (dense, compressed), (stream, damaged) = ([inputs(one, windows, name) for one in (source, result)] for name in (linear, norm))
    weights, found = (one.get_submodule(linear).weight.detach().double().numpy() for one in (source, result))
    (map_of_inputs, hessian), (map_of_stream, _) = fit(compressed, dense - compressed), fit(compressed, stream - damaged)
    of_inputs = weights + strengths[0] * weights @ map_of_inputs
    expected = of_inputs + strengths[1] / scale * map_of_stream

    shift = size(expected - of_inputs, hessian)
    assert shift > 0.001 * size(weights, hessian), "the streams hardly differ"
    assert size(found - expected, hessian) < 0.01 * shift
    # The stream after the addition is nearer to the dense model's than where only inputs are made up for.
    error = lambda weights_now: numpy.square(stream + scale * dense @ weights.T - damaged - scale * compressed @ weights_now.T).sum()
    assert error(found) < 0.98 * error(of_inputs)
