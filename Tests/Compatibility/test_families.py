"""Every model family, on random checkpoints: Cleave's forward pass and its dense results against transformers."""
import json
import math
import shutil

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

import cleave
import fused_experts
import make_checkpoints
import reference

VARIANTS = {name: (model_type, options) for name, model_type, options in make_checkpoints.variants(64, 3, 256, 160)}
WINDOWS = 4
LENGTH = 150


@pytest.fixture(scope="module", params=VARIANTS)
def checkpoint(request, tmp_path_factory):
    """A random checkpoint and random ids, in a folder that is named by the variant."""
    folder = tmp_path_factory.mktemp("checkpoint") / request.param
    folder.mkdir()
    seed = list(VARIANTS).index(request.param)
    make_checkpoints.make_model(*VARIANTS[request.param], seed).save_pretrained(folder / "source")
    generator = numpy.random.default_rng(seed)
    numpy.save(folder / "evaluation.npy", generator.integers(0, 256, WINDOWS * LENGTH, dtype=numpy.int32))
    numpy.save(folder / "calibration.npy", generator.integers(0, 256, 32 * LENGTH, dtype=numpy.int64))
    return folder


def perplexities(folder, directory, for_transformers=None):
    """Of Cleave and of transformers, the latter of another folder where one is given."""
    windows = torch.from_numpy(numpy.load(folder / "evaluation.npy")).long().reshape(WINDOWS, LENGTH)
    return (
        cleave.perplexity(directory, folder / "evaluation.npy", LENGTH, WINDOWS),
        reference.perplexity(reference.load(for_transformers or directory), windows))


@torch.no_grad()
def logits(folder, directory):
    """Of every next token of the evaluation, as transformers computes them: [windows, tokens, vocabulary]."""
    windows = torch.from_numpy(numpy.load(folder / "evaluation.npy")).long().reshape(WINDOWS, LENGTH)
    model = reference.load(directory)
    return torch.cat([model(window[None], use_cache=False).logits for window in windows]).double()


def test_likelihood(checkpoint):
    ours, theirs = perplexities(checkpoint, checkpoint / "source")
    assert math.log(ours) == pytest.approx(math.log(theirs), rel=1e-4)


@pytest.fixture(scope="module")
def results(checkpoint):
    """The folder with a dense result of each method, and for transformers one whose experts are joined where it wants them so: by method."""
    made = {}
    for method in ("gptq", "rtn"):
        output = checkpoint / method
        recipe = {
            "model": str(checkpoint / "source"), "output": str(output), "format": "dense",
            "calibration": {"source": str(checkpoint / "calibration.npy"), "sequences": 32, "length": LENGTH},
            "compress": {"method": method, "bits": 4, "group": 32}}
        (checkpoint / "recipe.yaml").write_text(json.dumps(recipe))
        cleave.run("compress", checkpoint / "recipe.yaml")
        made[method] = output, output
        if fused_experts.are_in(load_file(checkpoint / "source/model.safetensors")):
            joined = checkpoint / f"{method}-joined"
            shutil.copytree(output, joined)
            tensors = fused_experts.joined(load_file(output / "model.safetensors"), **fused_experts.FORMS[checkpoint.name])
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, joined / "model.safetensors", metadata={"format": "pt"})
            made[method] = output, joined
    return made


@pytest.mark.parametrize("method", ["gptq", "rtn"])
def test_dense_result(checkpoint, results, method):
    output, for_transformers = results[method]
    source, result = load_file(checkpoint / "source/model.safetensors"), load_file(output / "model.safetensors")
    if output != for_transformers:
        source = fused_experts.per_expert(source, **fused_experts.FORMS[checkpoint.name])
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in source.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in result.items()}
    linears = [linear["name"] + ".weight" for linear in cleave.report(output)["linears"]]
    assert linears and [name for name in source if not torch.equal(source[name], result[name])] == [name for name in source if name in linears]

    ours, theirs = perplexities(checkpoint, output, for_transformers)
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_gptq_is_nearer_than_rounding(checkpoint, results):
    """By the squared error of the logits. Predictions would say less: some of these models give nearly all probability to one token."""
    dense = logits(checkpoint, checkpoint / "source")
    errors = {method: (logits(checkpoint, results[method][1]) - dense).square().mean().item() for method in ("gptq", "rtn")}
    assert errors["gptq"] < errors["rtn"], errors
