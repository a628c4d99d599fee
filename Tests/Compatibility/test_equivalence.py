"""Rotated weights, and channels of one size: transformers computes of them what it computes of the source, and loads what is compressed of them."""
import json

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

import cleave
import make_checkpoints
import reference

torch.set_num_threads(1)
WINDOWS, LENGTH = 3, 64
SIZES = dict(
    hidden_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=256, max_position_embeddings=128, intermediate_size=64)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
LATENT = dict(
    n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=32, first_k_dense_replace=1, n_group=2, topk_group=1, num_key_value_heads=4,
    q_lora_rank=96, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=32)
MODELS = {
    "llama-tied": ("llama", SIZES | dict(head_dim=32, tie_word_embeddings=True)),
    "qwen2-tied": ("qwen2", SIZES | dict(tie_word_embeddings=True)),
    "qwen3": ("qwen3", SIZES | dict(head_dim=32)),
    "mixtral": ("mixtral", SIZES | dict(num_local_experts=4, num_experts_per_tok=2)),
    "qwen2_moe": ("qwen2_moe", SIZES | EXPERTS | dict(shared_expert_intermediate_size=64)),
    "deepseek_v3": ("deepseek_v3", SIZES | LATENT),
}


def make(name, folder, dtype):
    """A random model whose norms have gains of all sizes."""
    kind, options = MODELS[name]
    model = make_checkpoints.make_model(kind, options, list(MODELS).index(name))
    generator = torch.Generator().manual_seed(1)
    for key, parameter in model.named_parameters():
        if key.endswith("norm.weight"):
            parameter.data = torch.exp(torch.randn(parameter.shape, generator=generator) / 2)
    model.to(dtype).save_pretrained(folder)
    return model.float()


@pytest.fixture
def ids(tmp_path):
    path = tmp_path / "ids.npy"
    numpy.save(path, numpy.random.default_rng(3).integers(0, 256, WINDOWS * LENGTH, dtype=numpy.int32))
    return path


def windows(ids):
    return torch.from_numpy(numpy.load(ids)).long().reshape(WINDOWS, LENGTH)


@pytest.mark.parametrize("name", MODELS)
def test_the_function_stays(name, ids, tmp_path):
    model = make(name, tmp_path / "source", torch.float32)
    done = cleave.run("convert", tmp_path / "source", "--format", "dense", "--rotate", 32, "--output", tmp_path / "rotated")
    assert "the values of all heads" in done.stderr
    rotated = reference.load(tmp_path / "rotated")
    with torch.no_grad():
        for window in windows(ids):
            expected, found = (network(window[None], use_cache=False).logits for network in (model, rotated))
            assert (found - expected).norm() < 1e-4 * expected.norm()
            assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("source", "rotated"))
    for tensor, value in after.items():
        if tensor.endswith(("input_layernorm.weight", "post_attention_layernorm.weight", "model.norm.weight")):
            assert torch.equal(value, torch.ones_like(value))
        elif tensor.endswith(("down_proj.weight", "w2.weight", "embed_tokens.weight", "o_proj.weight", "v_proj.weight")):
            assert not torch.allclose(value, before[tensor], atol=1e-2)
    assert json.loads((tmp_path / "rotated/config.json").read_text())["tie_word_embeddings"] is False
    assert json.loads((tmp_path / "rotated/cleave_manifest.json").read_text())["rotation"] == {"block": 32, "attentions": 2}


@pytest.mark.parametrize("name", MODELS)
def test_compressed(name, ids, tmp_path):
    """What is compressed is the rotated model: perplexities as transformers and Cleave compute them agree, and come near to the source's."""
    make(name, tmp_path / "source", torch.bfloat16)
    recipe = {
        "model": str(tmp_path / "source"), "output": str(tmp_path / "result"), "max_fallbacks": 1000, "rotate": "hadamard",
        "calibration": {"source": str(ids), "sequences": WINDOWS, "length": LENGTH}, "compress": {"bits": 8, "group": 32}, "ignore": ["lm_head"]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = cleave.run("compress", tmp_path / "recipe.yaml")
    assert ("no longer the embedding" in done.stderr) == name.endswith("tied")
    found = reference.perplexity(reference.load(tmp_path / "result"), windows(ids))
    assert found == pytest.approx(cleave.perplexity(tmp_path / "result", ids, LENGTH, WINDOWS), rel=5e-3)
    assert found == pytest.approx(cleave.perplexity(tmp_path / "source", ids, LENGTH, WINDOWS), rel=0.05)


def test_refusals(tmp_path):
    """A norm that is none of RMS, and a block that the hidden size has not, say what they are."""
    make_checkpoints.make_model("gpt2", dict(n_embd=64, n_layer=1, n_head=2, vocab_size=64, n_positions=64), 0).save_pretrained(tmp_path / "gpt2")
    done = cleave.run("convert", tmp_path / "gpt2", "--format", "dense", "--rotate", 32, "--output", tmp_path / "rotated", code=65)
    assert "layer norm" in done.stderr
    make("qwen3", tmp_path / "qwen3", torch.float32)
    done = cleave.run("convert", tmp_path / "qwen3", "--format", "dense", "--rotate", 64, "--output", tmp_path / "rotated", code=65)
    assert "hidden size, 96" in done.stderr and "32" in done.stderr
    assert not (tmp_path / "rotated").exists()


def test_what_reads_the_stream_besides(tmp_path):
    """An encoder's way into the stream is refused by name; blocks that predict further tokens are left out, and a note says so."""
    make("deepseek_v3", tmp_path / "source", torch.float32)
    path, configuration = tmp_path / "source/model.safetensors", tmp_path / "source/config.json"
    tensors = load_file(path)
    save_file(tensors | {"projector.weight": torch.zeros(96, 32)}, path, metadata={"format": "pt"})
    done = cleave.run("convert", tmp_path / "source", "--format", "dense", "--rotate", 32, "--output", tmp_path / "rotated", code=65)
    assert "projector.weight" in done.stderr
    save_file(tensors | {"model.layers.2.eh_proj.weight": torch.ones(96, 192)}, path, metadata={"format": "pt"})
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | {"num_nextn_predict_layers": 1}))
    done = cleave.run("convert", tmp_path / "source", "--format", "dense", "--rotate", 32, "--output", tmp_path / "rotated")
    assert "left out of a result" in done.stderr and "without speculation" in done.stderr
    assert load_file(tmp_path / "rotated/model.safetensors").keys() == tensors.keys()


# What `cleave convert` counts: in each of two blocks two norms, values and what the gate multiplies, where there are such.
SCALED_MODELS = {
    "llama": (SIZES | dict(head_dim=32, attention_bias=True, mlp_bias=True, tie_word_embeddings=True), 8),
    "qwen2": (SIZES, 8),
    "phi3": (SIZES | dict(pad_token_id=0), 8),
    "gemma2": (SIZES | dict(head_dim=32), 8),
    "gpt2": (dict(n_embd=64, n_layer=2, n_head=2, vocab_size=256, n_positions=128), 6),
    "mixtral": (SIZES | dict(num_local_experts=4, num_experts_per_tok=2), 12),
}


def make_uneven(kind, folder, dtype):
    """A random model whose columns are of all sizes."""
    model = make_checkpoints.make_model(kind, SCALED_MODELS[kind][0], list(SCALED_MODELS).index(kind))
    generator = torch.Generator().manual_seed(1)
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1 and "embed" not in key and "wte" not in key and "wpe" not in key:
            parameter.data *= torch.exp(torch.randn(parameter.shape[-1], generator=generator) / 2)
    model.to(dtype).save_pretrained(folder)
    return model.float()


def spread(sizes):
    """By how much the largest differs from the least: an eighth of an octave where each is rounded to the nearest."""
    return float(numpy.log2(sizes.max() / sizes.min()))


@pytest.mark.parametrize("kind", SCALED_MODELS)
def test_scaled_channels(kind, ids, tmp_path):
    model = make_uneven(kind, tmp_path / "source", torch.float32)
    done = cleave.run("convert", tmp_path / "source", "--format", "dense", "--equalize", "--output", tmp_path / "scaled")
    assert f"scaled {SCALED_MODELS[kind][1]} groups of channels" in done.stdout
    scaled = reference.load(tmp_path / "scaled")
    with torch.no_grad():
        for window in windows(ids):
            expected, found = (network(window[None], use_cache=False).logits for network in (model, scaled))
            assert (found - expected).norm() < 1e-4 * expected.norm()
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("source", "scaled"))
    assert before.keys() == after.keys()
    names = [name for name in after if name.endswith(("down_proj.weight", "o_proj.weight", "w2.weight"))]
    for name in names:
        squares = numpy.square(after[name].double().numpy()).mean(0)
        if name.endswith("o_proj.weight"):  # two query heads read each key-value head
            squares = squares.reshape(2, 2, -1).mean(1).ravel()
        assert spread(numpy.sqrt(squares)) < 0.126, name
        assert spread(numpy.sqrt(numpy.square(before[name].double().numpy()).mean(0))) > 1, name
    assert names or kind == "gpt2"
    if kind == "qwen2":  # every reader counts by its number of rows, in units of its own size
        for readers in (["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["mlp.gate_proj", "mlp.up_proj"]):
            # In the source's units, since the factors are those of the source's numbers.
            first = f"model.layers.0.{readers[0]}.weight"
            factors = (before[first] / after[first]).double().numpy().mean(0)
            stacked = [before[f"model.layers.0.{reader}.weight"].double().numpy() for reader in readers]
            rows = numpy.concatenate([weight / numpy.sqrt(numpy.square(weight).mean()) for weight in stacked])
            assert spread(numpy.sqrt(numpy.square(rows).mean(0)) / factors) < 0.126
    assert json.loads((tmp_path / "scaled/cleave_manifest.json").read_text())["equalizedChannels"] == SCALED_MODELS[kind][1]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mixtral"])
@pytest.mark.parametrize("rotation", [{}, {"rotate": {"block": 32}}])
def test_compressed_with_scaled_channels(kind, rotation, ids, tmp_path):
    """Perplexities as transformers and Cleave compute them agree, and come near to the source's."""
    make_uneven(kind, tmp_path / "source", torch.bfloat16)
    recipe = {
        "model": str(tmp_path / "source"), "output": str(tmp_path / "result"), "max_fallbacks": 1000, "equalize": True, **rotation,
        "calibration": {"source": str(ids), "sequences": WINDOWS, "length": LENGTH}, "compress": {"bits": 8, "group": 32}, "ignore": ["lm_head"]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    cleave.run("compress", tmp_path / "recipe.yaml")
    found = reference.perplexity(reference.load(tmp_path / "result"), windows(ids))
    assert found == pytest.approx(cleave.perplexity(tmp_path / "result", ids, LENGTH, WINDOWS), rel=5e-3)
    assert found == pytest.approx(cleave.perplexity(tmp_path / "source", ids, LENGTH, WINDOWS), rel=0.05)


def test_what_reads_channels_besides(tmp_path):
    """A tensor of a block that Cleave does not read may read its channels, and is refused by name; one beside the blocks reads none."""
    make_uneven("qwen2", tmp_path / "source", torch.float32)
    path = tmp_path / "source/model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"projector.weight": torch.zeros(96, 32)}, path, metadata={"format": "pt"})
    cleave.run("convert", tmp_path / "source", "--format", "dense", "--equalize", "--output", tmp_path / "scaled")
    save_file(tensors | {"model.layers.0.self_attn.indexer.wk.weight": torch.zeros(32, 96)}, path, metadata={"format": "pt"})
    done = cleave.run("convert", tmp_path / "source", "--format", "dense", "--equalize", "--output", tmp_path / "other", code=65)
    assert "indexer.wk.weight" in done.stderr and "leave `equalize` out" in done.stderr
    assert not (tmp_path / "other").exists()
