"""Mixtures of experts: what Cleave computes of them against transformers, and their compressed results in the clients that load them."""
import json
import re
import shutil

import numpy
import pytest
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationScheme
from gptqmodel import BACKEND, GPTQModel
from safetensors.torch import load_file, save_file

import cleave
import make_checkpoints
import reference

MIXTURES = [
    "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v2", "deepseek_v3", "kimi_k2", "deepseek_v32", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa",
    "minimax_m2", "qwen3_next", "qwen3_5_moe_text"]
VARIANTS = {name: (model_type, options) for name, model_type, options in make_checkpoints.variants(64, 3, 256, 160) if model_type in MIXTURES}
# A model of the first type is one of the second, for which transformers has no name.
KNOWN_AS = {"kimi_k2": "deepseek_v3"}

# Wide enough for groups, and for vLLM's kernels. What is calibrated on random ids sees few tokens of some experts.
WIDE = dict(
    hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=256, max_position_embeddings=128, num_experts=6,
    num_experts_per_tok=2)
WIDE_QWEN = WIDE | dict(moe_intermediate_size=64, intermediate_size=96)
WIDE_ROUTED = WIDE | dict(
    n_routed_experts=8, moe_intermediate_size=64, intermediate_size=96, num_hidden_layers=2, first_k_dense_replace=1, n_group=2, topk_group=1)
del WIDE_ROUTED["num_experts"]
WIDE_LATENT = WIDE_ROUTED | dict(
    num_key_value_heads=4, q_lora_rank=96, kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=32, v_head_dim=32)
WIDE_LINEAR = WIDE_QWEN | dict(
    shared_expert_intermediate_size=96, head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=32, linear_value_head_dim=32,
    full_attention_interval=2)
INDEXER = dict(index_head_dim=32, index_n_heads=2, index_topk=128)
MODELS = {
    "mixtral": ("mixtral", WIDE | dict(intermediate_size=64)),
    "qwen2_moe": ("qwen2_moe", WIDE_QWEN | dict(shared_expert_intermediate_size=96)),
    "qwen2_moe-some-blocks": ("qwen2_moe", WIDE_QWEN | dict(shared_expert_intermediate_size=96, decoder_sparse_step=2)),
    "qwen3_moe": ("qwen3_moe", WIDE_QWEN | dict(norm_topk_prob=True, head_dim=32)),
    "qwen3_moe-some-blocks": ("qwen3_moe", WIDE_QWEN | dict(norm_topk_prob=True, head_dim=32, mlp_only_layers=[0], tie_word_embeddings=True)),
    "olmoe": ("olmoe", WIDE | dict(intermediate_size=64)),
    "deepseek_v2": ("deepseek_v2", WIDE_LATENT | dict(topk_method="group_limited_greedy", routed_scaling_factor=2.0)),
    "deepseek_v2-lite": ("deepseek_v2", WIDE_LATENT | dict(q_lora_rank=None, n_shared_experts=2)),
    "deepseek_v3": ("deepseek_v3", WIDE_LATENT),
    "kimi_k2": ("kimi_k2", WIDE_LATENT | dict(n_group=1, topk_group=1, routed_scaling_factor=2.827)),
    "deepseek_v32": ("deepseek_v32", WIDE_LATENT | INDEXER),
    "glm4_moe": ("glm4_moe", WIDE_ROUTED | dict(num_key_value_heads=2, head_dim=32, use_qk_norm=True, attention_bias=True)),
    "glm4_moe_lite": ("glm4_moe_lite", {key: value for key, value in WIDE_LATENT.items() if key != "first_k_dense_replace"}),
    "glm_moe_dsa": ("glm_moe_dsa", WIDE_LATENT | INDEXER | dict(num_hidden_layers=3, indexer_types=["full", "shared", "full"])),
    "minimax_m2": ("minimax_m2", WIDE | dict(intermediate_size=64, head_dim=32, rotary_dim=16)),
    "qwen3_next": ("qwen3_next", WIDE_LINEAR),
    "qwen3_5_moe_text": ("qwen3_5_moe_text", WIDE_LINEAR),
}
# What keeps its weights: routers, the gate of a shared expert, indexers, the rates of linear attention.
PLAIN = re.compile(r"[.](mlp|block_sparse_moe)[.](gate|shared_expert_gate)$|[.]self_attn[.]indexer[.]|[.]linear_attn[.]in_proj_(ba|b|a)$")
WINDOWS, LENGTH = 4, 96


def write_ids(path, seed, count):
    numpy.save(path, numpy.random.default_rng(seed).integers(0, 256, count, dtype=numpy.int32))
    return path


@pytest.mark.parametrize("name", VARIANTS)
def test_likelihood(name, tmp_path):
    """Several lengths: the shortest gives some experts no token, the longest is wider than every window."""
    model_type, options = VARIANTS[name]
    model = make_checkpoints.make_model(model_type, options, list(VARIANTS).index(name))
    model.save_pretrained(tmp_path / "source")
    for length in (2, 33, 150):
        ids = write_ids(tmp_path / f"{length}.npy", length, 4 * length)
        windows = torch.from_numpy(numpy.load(ids)).long().reshape(4, length)
        expected = reference.perplexity(model, windows)
        assert cleave.perplexity(tmp_path / "source", ids, length, 4) == pytest.approx(expected, rel=1e-4)


def save(model_type, options, seed, folder):
    """A random model in fp32: transformers unpacks experts into the type of their scales, and in bf16 a few tokens would reach another expert."""
    make_checkpoints.make_model(KNOWN_AS.get(model_type, model_type), options, seed).save_pretrained(folder)
    rename(folder, model_type)


def rename(folder, model_type):
    configuration = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(configuration | {"model_type": model_type}))


def load(directory, name):
    """The model in transformers, which knows it by another name if by none."""
    rename(directory, KNOWN_AS.get(MODELS[name][0], MODELS[name][0]))
    model = reference.load(directory)
    rename(directory, MODELS[name][0])
    return model


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The folder of a model by its name, made when it is first asked for."""
    found = {}

    def source(name):
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name) / "source"
            save(*MODELS[name], list(MODELS).index(name), found[name])
        return found[name]

    return source


def compress(source, folder, settings, code=0):
    output = folder / "result"
    # Random models have no words for a text, and some of their experts few tokens.
    recipe = {
        "model": str(source), "output": str(output), "max_fallbacks": 1000,
        "calibration": {"source": str(write_ids(folder / "calibration.npy", 7, 32 * LENGTH)), "sequences": 32, "length": LENGTH},
        "compress": {"bits": 4, "group": 32}, "ignore": ["lm_head"]} | settings
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return output, cleave.run("compress", folder / "recipe.yaml", code=code)


def expect_perplexity(folder, directory, model, tolerance=5e-3):
    ids = write_ids(folder / "evaluation.npy", 11, WINDOWS * LENGTH)
    windows = torch.from_numpy(numpy.load(ids)).long().reshape(WINDOWS, LENGTH)
    assert reference.perplexity(model, windows) == pytest.approx(cleave.perplexity(directory, ids, LENGTH, WINDOWS), rel=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_names(name, sources, tmp_path):
    """Each expert is stored by itself under the source's name; routers, gates of shared experts and indexers stay as they are, and `ignore` names them."""
    source = sources(name)
    output, _ = compress(source, tmp_path, {})
    before, after = load_file(source / "model.safetensors"), load_file(output / "model.safetensors")
    packed = {tensor.removesuffix(".weight_packed") for tensor in after if tensor.endswith(".weight_packed")}
    # Every matrix that is neither embedding, head, router, gate nor indexer is compressed.
    matrices = {tensor.removesuffix(".weight") for tensor, value in before.items() if value.dim() == 2}
    plain = {matrix for matrix in matrices if PLAIN.search(matrix)}
    assert packed == {matrix for matrix in matrices - plain if not matrix.endswith(("embed_tokens", "lm_head"))}
    assert any(".experts." in matrix for matrix in packed) and plain
    assert all(after[f"{linear}.{part}"].dim() == 2 for linear in packed for part in ("weight_packed", "weight_scale"))

    assert all(torch.equal(value, after[tensor]) for tensor, value in before.items() if tensor.removesuffix(".weight") not in packed)
    configuration = json.loads((output / "config.json").read_text())
    assert set(configuration["quantization_config"]["ignore"]) == {*plain, "lm_head"}


# Bits, groups and what else changes the tensors of an expert.
SETTINGS = {
    "w4": {}, "w4-channel": {"compress": {"bits": 4, "group": -1}}, "w3": {"compress": {"bits": 3, "group": 32}},
    "w2": {"compress": {"bits": 2, "group": 32}}, "w8": {"compress": {"bits": 8, "group": 32}},
    "w4-experts-only": {"ignore": ["lm_head", "*.self_attn.*"]},
    "w4-ordered": {"compress": {"bits": 4, "group": 32, "act_order": True}},
    # Elsewhere transformers would round activations, and in random models a few tokens would reach another expert.
    "fp8-experts-only": {"rules": [{"match": "*.experts.*", "type": "fp8"}]},
}


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "deepseek_v3"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_transformers(name, settings, sources, tmp_path):
    output, _ = compress(sources(name), tmp_path, SETTINGS[settings])
    expect_perplexity(tmp_path, output, load(output, name))


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "deepseek_v3"])
def test_attention_of_another_scheme(name, sources, tmp_path):
    """Where attention has a scheme of its own, transformers takes the one whose targets speak of experts in an expression for all of them."""
    output, _ = compress(sources(name), tmp_path, {"rules": [{"match": "*.self_attn.*", "bits": 8}, {"match": "*"}]})
    expect_perplexity(tmp_path, output, reference.load(output))


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("mixtral", "qwen3_moe", "deepseek_v3")])
def test_other_families_in_transformers(name, sources, tmp_path):
    """Shared experts, and dense blocks between those with experts."""
    output, _ = compress(sources(name), tmp_path, {})
    expect_perplexity(tmp_path, output, load(output, name))


@pytest.mark.parametrize("name, parts", [("mixtral", ("w1", "w3")), ("qwen3_moe", ("gate_proj", "up_proj")), ("deepseek_v3", ("gate_proj", "up_proj"))])
def test_parts_of_an_expert_share_a_global_scale(name, parts, sources, tmp_path):
    """vLLM has one number for both; transformers 5 forgets it, so the names are compared alone."""
    output, _ = compress(sources(name), tmp_path, {"compress": {"type": "nvfp4"}})
    after = load_file(output / "model.safetensors")
    experts = {tensor.rsplit(".", 2)[0] for tensor in after if re.search(r"[.]experts[.]\d+[.].*[.]weight_global_scale$", tensor)}
    assert experts
    for expert in experts:
        first, second = (after[f"{expert}.{part}.weight_global_scale"] for part in parts)
        assert first.shape == (1,) and first == second, expert


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe"])
def test_asymmetric_codes(name, sources, tmp_path):
    """transformers 5.23 reads no zero points of experts; the package's own unpacking stands in for it."""
    output, _ = compress(sources(name), tmp_path, {"compress": {"bits": 4, "group": 32, "symmetric": False}})
    tensors = load_file(output / "model.safetensors")
    group, = json.loads((output / "config.json").read_text())["quantization_config"]["config_groups"].values()
    scheme = QuantizationScheme(**group)
    dense = {}
    for tensor in tensors:
        linear, _, part = tensor.rpartition(".")
        if part == "weight_packed":
            own = {key.removeprefix(linear + "."): value for key, value in tensors.items() if key.startswith(linear + ".")}
            dense[linear + ".weight"] = PackedQuantizationCompressor.decompress(own | {"weight_scale": own["weight_scale"].float()}, scheme)["weight"]
        elif part in ("weight", "bias"):
            dense[tensor] = tensors[tensor]
    (tmp_path / "dense").mkdir()
    shutil.copy(sources(name) / "config.json", tmp_path / "dense")
    save_file(dense, tmp_path / "dense/model.safetensors", metadata={"format": "pt"})
    expect_perplexity(tmp_path, output, reference.load(tmp_path / "dense"))


@pytest.mark.changes_transformers
@pytest.mark.parametrize("name", ["qwen3_moe", "deepseek_v3"])
def test_gptqmodel(name, sources, tmp_path):
    """GPTQModel keeps every expert by itself, under the names that files of Qwen and DeepSeek have."""
    output, _ = compress(sources(name), tmp_path, {"format": "gptq"})
    # It loads a tokenizer beside the model, whichever it is.
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if (cleave.MODEL / file).exists():
            shutil.copy(cleave.MODEL / file, output)
    model = GPTQModel.load(str(output), backend=BACKEND.GPTQ_TORCH, device="cpu", dtype=torch.float16).model
    compressed = {tensor.removesuffix(".qweight") for tensor in load_file(output / "model.safetensors") if tensor.endswith(".qweight")}
    assert {linear for linear, module in model.named_modules() if hasattr(module, "qweight")} == compressed
    # It computes in fp16, in which a token that stands between two experts may go to the other.
    expect_perplexity(tmp_path, output, model, 2e-2)


# Experts of one block that clients would read alike although they are not.
TWO_WAYS = {
    "an expert of other bits": {"rules": [{"match": "*.experts.0.*", "bits": 8}, {"match": "*"}]},
    "another group for the way down": {"rules": [{"match": "*.experts.*.w2", "group": 64}, {"match": "*"}]},
    "an expert kept": {"ignore": ["lm_head", "*.layers.1.*.experts.3.*"]},
}


@pytest.mark.parametrize("case", TWO_WAYS)
def test_experts_of_two_schemes_are_refused(case, sources, tmp_path):
    output, done = compress(sources("mixtral"), tmp_path, TWO_WAYS[case], code=65)
    assert "experts of a block" in done.stderr, done.stderr
    assert not (output / "config.json").exists()


@pytest.fixture(scope="module")
def wide_mixture(request, tmp_path_factory):
    """A folder with a model of one block whose widths groups of 128 divide, and with calibration data for it."""
    folder = tmp_path_factory.mktemp(request.param)
    widths = dict(
        intermediate_size=128, moe_intermediate_size=128, shared_expert_intermediate_size=128, head_dim=32, q_lora_rank=128, kv_lora_rank=128)
    options = next(options for other, options in MODELS.values() if other == request.param)
    save(request.param, options | {key: value for key, value in widths.items() if key in options}, 1, folder / "source")
    write_ids(folder / "calibration.npy", 7, 4 * LENGTH)
    return folder


@pytest.mark.parametrize("recipe", ["moe-experts-w4a16.yaml", "qmoe.yaml", "moe-w4a16.yaml", "gptq-w4a16.yaml"])
@pytest.mark.parametrize("wide_mixture", MIXTURES, indirect=True)
def test_recipes(recipe, wide_mixture, tmp_path):
    """The recipes that come with Cleave take every family of mixtures."""
    ids = wide_mixture / "calibration.npy"
    settings = [f"calibration.source={json.dumps(str(ids))}", f"calibration.length={LENGTH}", "calibration.sequences=4"]
    plan = json.loads(
        cleave.run(
            "plan", f"Configs/{recipe}", "--model", wide_mixture / "source", "--output", tmp_path / "out", "--json",
            *[part for setting in settings for part in ("--set", setting)], ranks=None).stdout)
    names = list(plan["linears"])
    assert any(".experts." in name for name in names)
    assert (recipe in ("moe-experts-w4a16.yaml", "qmoe.yaml")) == all(".experts." in name for name in names)
