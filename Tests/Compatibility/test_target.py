"""`target: dense`: weights begin where a least-squares fit in double precision, on transformers' activations, has them."""
import json
import shutil

import numpy
import pytest
import torch

import cleave
import make_checkpoints
import reference

torch.set_num_threads(1)
WINDOWS, LENGTH = 24, 128
LINEAR = "model.layers.1.self_attn.q_proj"


def arguments(model, windows, name):
    """What goes into a module: of each argument all tokens one after the other, [tokens, columns]."""
    found = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda module, inputs: found.append([x.flatten(0, -2) for x in inputs]))
    with torch.no_grad():
        for window in windows:
            model(window[None])
    hook.remove()
    return [torch.cat(parts).numpy() for parts in zip(*found)]


def inputs(model, windows, name=LINEAR):
    """The first of them in double precision."""
    return arguments(model, windows, name)[0].astype(numpy.float64)


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


def compressed_model(tmp_path, model, *targets, vocabulary=4096):
    """A model with another first block, and linears in 8 bits, so that what is left of rounding is little beside a shift; and windows of its ids."""
    ids = tmp_path / "ids.npy"
    numpy.save(ids, numpy.random.default_rng(5).integers(0, vocabulary, WINDOWS * LENGTH, dtype=numpy.int32))
    rules = [{"match": "model.layers.0.*", "method": "rtn", "grid": "minmax", "bits": 2, "group": -1}]
    rules += [{"bits": 8, "target": "dense"} | target for target in targets]
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


MIXTURES = {
    "mixtral": (["w1", "w3", "w2"], dict(intermediate_size=96)),
    "qwen2_moe": (["gate_proj", "up_proj", "down_proj"], dict(moe_intermediate_size=64, intermediate_size=96, shared_expert_intermediate_size=96)),
}
EXPERT, BLOCK = 3, "model.layers.1"


@pytest.fixture(scope="module")
def mixture(request, tmp_path_factory):
    """A random mixture of experts and the names of an expert's linears."""
    linears, options = MIXTURES[request.param]
    shape = dict(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=256, max_position_embeddings=256, num_experts=6,
        num_experts_per_tok=2)
    folder = tmp_path_factory.mktemp(request.param)
    make_checkpoints.make_model(request.param, shape | options, 11).save_pretrained(folder)
    return folder, linears


def expect_fit(weights, found, dense, compressed):
    """The weights began at the fit, and it makes up for most of what a linear map can."""
    map_of_inputs, hessian = fit(compressed, dense - compressed)
    expected = weights + weights @ map_of_inputs
    shift = size(expected - weights, hessian)
    assert shift > 0.001 * size(weights, hessian), "the inputs hardly differ"
    assert size(found - expected, hessian) < 0.01 * shift
    error = lambda weights_now: numpy.square(dense @ weights.T - compressed @ weights_now.T).sum()
    assert error(found) < 0.95 * error(weights)


@pytest.mark.parametrize("mixture, name", [
    ("mixtral", "self_attn.o_proj"), ("qwen2_moe", "self_attn.o_proj"), ("qwen2_moe", "mlp.shared_expert.down_proj")], indirect=["mixture"])
def test_linears_behind_a_mixture(mixture, name, tmp_path):
    """The dense model's tokens pass the first block's experts by its own routes."""
    model, name = mixture[0], f"{BLOCK}.{name}"
    source, result, windows = compressed_model(tmp_path, model, {"match": name}, vocabulary=256)
    routes = [arguments(one, windows, "model.layers.0.mlp.experts")[1] for one in (source, result)]
    assert (numpy.sort(routes[0]) != numpy.sort(routes[1])).any(), "both models have the same routes"
    dense, compressed = (inputs(one, windows, name) * share(one, windows, name) for one in (source, result))
    weights, found = (one.get_submodule(name).weight.detach().double().numpy() for one in (source, result))
    expect_fit(weights, found, dense, compressed)


def share(model, windows, name):
    """What the outputs of a linear are multiplied with, token by token: those of a shared expert by a share of its own. It counts as much in a fit as in the inputs."""
    if "shared_expert" not in name:
        return 1
    gate = f"{BLOCK}.mlp.shared_expert_gate"
    return 1 / (1 + numpy.exp(-inputs(model, windows, gate) @ model.get_submodule(gate).weight.detach().double().numpy().T))


def expert_weights(model, part):
    """Gate and up, or down, of the expert: [rows, columns]."""
    return getattr(model.get_submodule(f"{BLOCK}.mlp.experts"), part)[EXPERT].detach().double().numpy()


@pytest.mark.parametrize("mixture", MIXTURES, indirect=True)
@pytest.mark.parametrize("part", ["gate", "down"])
def test_an_expert(mixture, part, tmp_path):
    """Its sums take the tokens that the compressed model's router sends to it, as they are in both models; down those that either model's gate and up make of them."""
    model, (gate, up, down) = mixture
    match = f"{BLOCK}.*.experts.{EXPERT}."
    # Before down, gate and up are off by more than 8 bits leave.
    targets = [{"match": match + gate}] if part == "gate" else [
        {"match": match + gate, "bits": 3, "group": -1, "target": "layer"}, {"match": match + up, "bits": 3, "group": -1, "target": "layer"},
        {"match": match + down}]
    source, result, windows = compressed_model(tmp_path, model, *targets, vocabulary=256)
    (dense, routes), (compressed, own_routes) = (arguments(one, windows, f"{BLOCK}.mlp.experts")[:2] for one in (source, result))
    tokens = (own_routes == EXPERT).any(1)
    assert (tokens != (routes == EXPERT).any(1)).any(), "both models send it the same tokens"
    # Fewer would borrow some.
    assert tokens.sum() >= 128
    dense, compressed = (x[tokens].astype(numpy.float64) for x in (dense, compressed))
    weights, found = (expert_weights(one, "gate_up_proj") for one in (source, result))
    rows = len(weights) // 2
    if part == "gate":
        return expect_fit(weights[:rows], found[:rows], dense, compressed)

    def activated(x, both):
        gates, ups = x @ both[:rows].T, x @ both[rows:].T
        return gates / (1 + numpy.exp(-gates)) * ups

    expect_fit(*(expert_weights(one, "down_proj") for one in (source, result)), activated(dense, weights), activated(compressed, found))
