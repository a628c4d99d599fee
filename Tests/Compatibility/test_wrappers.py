"""Models for texts and images: the language model inside is computed and compressed, the rest is copied, and transformers loads the result."""
import json
import re

import numpy
import pytest
import torch
import transformers
from safetensors.torch import load_file

import cleave
import make_checkpoints
import reference

TEXT = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, vocab_size=256, max_position_embeddings=160)
LINEAR = dict(head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=16, full_attention_interval=2)
EXPERTS = dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=32, shared_expert_intermediate_size=32)
VISION = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, image_size=28, patch_size=14)
LLAMA4_VISION = VISION | dict(intermediate_size=128, projector_input_dim=32, projector_output_dim=32, vision_output_dim=32)
QWEN_VISION = dict(depth=1, hidden_size=32, num_heads=2, intermediate_size=48, out_hidden_size=64)
LLAMA4 = TEXT | dict(num_local_experts=4, num_experts_per_tok=1, intermediate_size_mlp=64, interleave_moe_layer_step=2, head_dim=16, intermediate_size=32)
# (configuration of the whole, where its files keep the language model)
MODELS = {
    "gemma3": (dict(text_config=TEXT | dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=40), vision_config=VISION), "language_model.model."),
    "llama4": (dict(text_config=LLAMA4, vision_config=LLAMA4_VISION), "language_model.model."),
    "mistral3": (dict(text_config=TEXT | dict(model_type="mistral", head_dim=16), vision_config=VISION | dict(head_dim=16)), "language_model.model."),
    "qwen3_5": (dict(text_config=TEXT | LINEAR, vision_config=QWEN_VISION), "model.language_model."),
    "qwen3_5_moe": (dict(text_config=TEXT | LINEAR | EXPERTS, vision_config=QWEN_VISION), "model.language_model."),
}
WINDOWS, LENGTH = 4, 96
# Where a part of the language model keeps its weights, under names that files and transformers have of their own.
MIXED = {"gemma3"}
# transformers loads no experts of Llama 4 that are compressed one by one.
NOT_IN_TRANSFORMERS = {"llama4"}


def load(directory):
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    return model.eval()


@pytest.fixture(scope="module", params=MODELS)
def source(request, tmp_path_factory):
    """The name and the folder of a random model, and ids."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(3)
    configuration = transformers.AutoConfig.for_model(request.param, **MODELS[request.param][0])
    model = transformers.AutoModelForImageTextToText.from_config(configuration, attn_implementation="eager")
    make_checkpoints.randomise(model).save_pretrained(folder / "source")
    rng = numpy.random.default_rng(0)
    numpy.save(folder / "calibration.npy", rng.integers(0, 256, 24 * LENGTH, dtype=numpy.int32))
    numpy.save(folder / "ids.npy", rng.integers(0, 256, WINDOWS * LENGTH, dtype=numpy.int32))
    return request.param, folder


def windows(folder):
    return torch.from_numpy(numpy.load(folder / "ids.npy")).long().reshape(WINDOWS, LENGTH)


def test_likelihood(source):
    _, folder = source
    expected = reference.perplexity(load(folder / "source"), windows(folder))
    assert cleave.perplexity(folder / "source", folder / "ids.npy", LENGTH, WINDOWS) == pytest.approx(expected, rel=1e-4)


def test_result(source):
    name, folder = source
    recipe = {
        "model": str(folder / "source"), "output": str(folder / "result"), "max_fallbacks": 1000,
        "calibration": {"source": str(folder / "calibration.npy"), "sequences": 24, "length": LENGTH},
        "compress": {"bits": 4, "group": 32}, "ignore": ["*lm_head", "*.layers.1.mlp.*"] if name in MIXED else ["*lm_head"]}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    cleave.run("compress", folder / "recipe.yaml")
    before, after = load_file(folder / "source/model.safetensors"), load_file(folder / "result/model.safetensors")
    prefix = MODELS[name][1]
    rest = [tensor for tensor in before if not tensor.startswith(prefix)]
    assert any("vision" in tensor or "visual" in tensor for tensor in rest)
    for tensor in rest:
        assert torch.equal(before[tensor], after[tensor]), tensor
    packed = [tensor.removesuffix(".weight_packed") for tensor in after if tensor.endswith(".weight_packed")]
    assert packed and all(linear.startswith(prefix + "layers.") for linear in packed)
    configuration = json.loads((folder / "result/config.json").read_text())
    ignored = configuration["quantization_config"]["ignore"]
    patterns = [re.compile(pattern.removeprefix("re:")) for pattern in ignored if pattern.startswith("re:")]
    for tensor in rest:
        if before[tensor].ndim == 2 and tensor.endswith(".weight") and "lm_head" not in tensor:
            # Both as files call it and as transformers does.
            linear = tensor.removesuffix(".weight")
            assert all(any(pattern.match(name) for pattern in patterns) for name in (linear, f"model.{linear}")), linear
    found = cleave.perplexity(folder / "result", folder / "ids.npy", LENGTH, WINDOWS)
    if name not in NOT_IN_TRANSFORMERS:
        assert reference.perplexity(load(folder / "result"), windows(folder)) == pytest.approx(found, rel=2e-3)
