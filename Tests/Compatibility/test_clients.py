"""Every family's compressed results in every client that loads them: heads tied or not, names with and without the family's prefix, kept linears."""
import json
import math
import shutil

import numpy
import pytest
import torch
import transformers
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor  # noqa: F401 (registers the format)
from gptqmodel import BACKEND, GPTQModel
from safetensors.torch import load_file, save_file

import cleave
import make_checkpoints
import reference

WINDOWS, LENGTH = 2, 64
BASE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=256, max_position_embeddings=128)
GPT2 = dict(n_embd=64, n_layer=2, n_head=4, vocab_size=256, n_positions=128)
OPT = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, ffn_dim=96, vocab_size=256, max_position_embeddings=128)
FALCON = dict(hidden_size=64, ffn_hidden_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=256)
BLOOM = dict(hidden_size=64, n_layer=2, n_head=4, vocab_size=256)
GROUPED = BASE | dict(num_key_value_heads=2)
TIED, UNTIED = dict(tie_word_embeddings=True), dict(tie_word_embeddings=False)

# By name: model_type, options, and a linear of each block that a recipe keeps.
MODELS = {
    "llama": ("llama", GROUPED | UNTIED, "down_proj"), "llama-tied": ("llama", GROUPED | TIED, "down_proj"),
    "mistral": ("mistral", GROUPED | UNTIED, "down_proj"), "mistral-tied": ("mistral", GROUPED | TIED, "down_proj"),
    "qwen2": ("qwen2", GROUPED | UNTIED, "down_proj"), "qwen2-tied": ("qwen2", GROUPED | TIED, "down_proj"),
    "qwen3": ("qwen3", GROUPED | UNTIED | dict(head_dim=16), "down_proj"), "qwen3-tied": ("qwen3", GROUPED | TIED | dict(head_dim=16), "down_proj"),
    "opt": ("opt", OPT | UNTIED, "fc2"), "opt-tied": ("opt", OPT | TIED, "fc2"),
    "gpt_neox": ("gpt_neox", BASE | UNTIED, "dense_4h_to_h"), "gpt_neox-tied": ("gpt_neox", BASE | TIED, "dense_4h_to_h"),
    "gpt2": ("gpt2", GPT2 | UNTIED, "mlp.c_proj"), "gpt2-tied": ("gpt2", GPT2 | TIED, "mlp.c_proj"),
}
# Each in one spelling.
MORE = {
    "phi3": ("phi3", GROUPED | UNTIED, "down_proj"), "gemma2-tied": ("gemma2", GROUPED | TIED | dict(head_dim=16), "down_proj"),
    "gemma3_text-tied": ("gemma3_text", GROUPED | TIED | dict(head_dim=16, sliding_window=32, sliding_window_pattern=2), "down_proj"),
    "granite": ("granite", GROUPED | UNTIED | dict(residual_multiplier=0.4, logits_scaling=2.0), "down_proj"),
    "cohere-tied": ("cohere", GROUPED | TIED | dict(use_qk_norm=True), "down_proj"),
    "cohere2-tied": ("cohere2", GROUPED | TIED | dict(sliding_window=32, sliding_window_pattern=2), "down_proj"),
    "falcon": ("falcon", FALCON | UNTIED, "dense_4h_to_h"), "falcon-tied": ("falcon", FALCON | TIED | dict(alibi=True, multi_query=False), "dense_4h_to_h"),
    "gptj": ("gptj", GPT2 | UNTIED | dict(rotary_dim=8), "fc_out"), "bloom-tied": ("bloom", BLOOM | TIED, "dense_4h_to_h"),
}
ALL = MODELS | MORE
PREFIXES = {"gpt_neox": "gpt_neox."} | dict.fromkeys(("gpt2", "gptj", "falcon", "bloom"), "transformer.")


def make(folder, name, rename=lambda tensors, prefix: tensors):
    """The model's folder; its tensors under other names by `rename`."""
    model_type, options, _ = ALL[name]
    make_checkpoints.make_model(model_type, options, sorted(ALL).index(name)).save_pretrained(folder / "source")
    # GPTQModel loads a tokenizer beside the model, whichever it is.
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if (cleave.MODEL / file).exists():
            shutil.copy(cleave.MODEL / file, folder / "source")
    file = folder / "source/model.safetensors"
    save_file(rename(load_file(file), PREFIXES.get(model_type, "model.")), file, metadata={"format": "pt"})
    generator = numpy.random.default_rng(7)
    numpy.save(folder / "calibration.npy", generator.integers(0, 256, 16 * LENGTH, dtype=numpy.int32))
    numpy.save(folder / "evaluation.npy", generator.integers(0, 256, WINDOWS * LENGTH, dtype=numpy.int32))
    return folder


def compress(folder, form, ignore=()):
    recipe = {
        "model": str(folder / "source"), "output": str(folder / form), "format": form,
        "calibration": {"source": str(folder / "calibration.npy"), "sequences": 16, "length": LENGTH},
        "compress": {"bits": 4, "group": 32}, "ignore": ["lm_head", *ignore]}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    cleave.run("compress", folder / "recipe.yaml")
    return folder / form


def expect_perplexity(folder, directory, model, tolerance):
    windows = torch.from_numpy(numpy.load(folder / "evaluation.npy")).long().reshape(WINDOWS, LENGTH)
    expected = math.log(cleave.perplexity(directory, folder / "evaluation.npy", LENGTH, WINDOWS))
    assert math.log(reference.perplexity(model, windows)) == pytest.approx(expected, rel=tolerance)


def codes(directory, suffix):
    return {name.removesuffix(suffix) for name in load_file(directory / "model.safetensors") if name.endswith(suffix)}


def expect_in_transformers(folder, directory):
    """Loaded without a tensor missing or left over; what is compressed are the linears whose codes the file has, and never the head."""
    # Falcon's own kind of linear asks for its weight as it is.
    is_own = json.loads((directory / "config.json").read_text())["model_type"] == "falcon"
    model = reference.load(directory, **(dict(quantization_config=transformers.CompressedTensorsConfig(dequantize=True)) if is_own else {}))
    expect_perplexity(folder, directory, model, 1e-4)
    if is_own:
        return
    compressed = {name for name, module in model.named_modules() if getattr(module, "quantization_scheme", None) is not None}
    assert compressed == codes(directory, ".weight_packed") and not any("lm_head" in name or "embed_out" in name for name in compressed)


def has_head_of_another_name(directory):
    """GPTQModel 7.7 leaves such a head without numbers: files call it embed_out, and transformers 5, whose renaming it does not use, lm_head."""
    return "embed_out.weight" in load_file(directory / "model.safetensors")


def expect_in_gptq_clients(folder, directory, in_transformers):
    # GPTQModel 7.7 looks for the parts of Phi-3's fused linears.
    is_fused = json.loads((directory / "config.json").read_text())["model_type"] == "phi3"
    if not has_head_of_another_name(directory) and not is_fused:
        model = GPTQModel.load(str(directory), backend=BACKEND.GPTQ_TORCH, device="cpu", dtype=torch.float16).model
        assert {name for name, module in model.named_modules() if hasattr(module, "qweight")} == codes(directory, ".qweight")
        expect_perplexity(folder, directory, model, 5e-3)
    if in_transformers:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float16, output_loading_info=True)
        assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
        expect_perplexity(folder, directory, model, 5e-3)


# Conv1D is no Linear: compressed-tensors cannot replace it, nor optimum.
LINEARS = [name for name in MODELS if MODELS[name][0] != "gpt2"]


@pytest.mark.parametrize("name, keeps", [(name, keeps) for name in LINEARS for keeps in (False, True)] + [(name, False) for name in MORE])
def test_compressed_tensors(name, keeps, tmp_path):
    folder = make(tmp_path, name)
    expect_in_transformers(folder, compress(folder, "compressed-tensors", [f"*.{ALL[name][2]}"] if keeps else []))


@pytest.mark.parametrize("name", [*MODELS, "phi3", "gemma3_text-tied", "cohere-tied", "falcon", "bloom-tied"])
def test_gptq(name, tmp_path):
    folder = make(tmp_path, name)
    keeps = name.endswith("-tied")
    # transformers leaves Falcon's own kind of linear as it is.
    in_transformers = name in LINEARS or name in MORE and name != "falcon"
    expect_in_gptq_clients(folder, compress(folder, "gptq", [f"*.{ALL[name][2]}"] if keeps else []), in_transformers)


def stripped(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def twice(tensors, prefix):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def only_the_head(tensors, prefix):
    head = "embed_out.weight" if prefix == "gpt_neox." else "lm_head.weight"
    embedding = next(name for name in tensors if name.endswith(("embed_tokens.weight", "embed_in.weight", "wte.weight")))
    return {head if name == embedding else name: tensor for name, tensor in tensors.items()}


def another_head(tensors, prefix):
    head = "embed_out.weight" if prefix == "gpt_neox." else "lm_head.weight"
    embedding = next(tensor for name, tensor in tensors.items() if name.endswith(("embed_tokens.weight", "embed_in.weight", "wte.weight")))
    return tensors | {head: embedding * 1.25}


@pytest.mark.parametrize("name", ["llama-tied", "opt-tied", "gpt_neox-tied", "gpt2-tied"])
@pytest.mark.parametrize("rename", [stripped, twice, only_the_head, another_head])
def test_other_names(name, rename, tmp_path):
    """The source is what transformers makes of it, and the result loads everywhere."""
    folder = make(tmp_path, name, rename)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "source", dtype=torch.float32)
    expect_perplexity(folder, folder / "source", model, 1e-4)
    if name in LINEARS:
        expect_in_transformers(folder, compress(folder, "compressed-tensors"))
    expect_in_gptq_clients(folder, compress(folder, "gptq"), name in LINEARS)


@pytest.fixture(scope="module")
def wide_model(request, tmp_path_factory):
    """A folder with a model of one block whose rows are as long as the recipes' groups ask, and with calibration data for it."""
    folder = tmp_path_factory.mktemp(request.param)
    wide = dict(hidden_size=128, n_embd=128, intermediate_size=256, ffn_dim=256, ffn_hidden_size=256, num_attention_heads=2, n_head=2, head_dim=64)
    options = next(options for other, options, _ in ALL.values() if other == request.param)
    options = options | {key: value for key, value in wide.items() if key in options} | dict(num_hidden_layers=1, n_layer=1)
    # As many tokens as the tokenizer has, which GGUF files hold too.
    tokens = len(json.loads((cleave.MODEL / "tokenizer.json").read_text())["model"]["vocab"])
    make_checkpoints.make_model(request.param, options | {"vocab_size": tokens}, 1).save_pretrained(folder / "source")
    shutil.copy(cleave.MODEL / "tokenizer.json", folder / "source")
    numpy.save(folder / "calibration.npy", numpy.random.default_rng(7).integers(0, 256, 4 * LENGTH, dtype=numpy.int32))
    return request.param, folder


def refusal(recipe, model_type):
    """What `cleave plan` says where a recipe cannot take a family; None where it takes it."""
    # test_mixtures.py has models with experts.
    if "*.experts.*" in recipe:
        return "takes no linear of this model"
    if "format: gguf" in recipe and model_type not in ("llama", "qwen2", "qwen3"):
        if model_type in ("falcon", "gpt2", "gpt_neox"):  # their linears have other names than the recipe's rule
            return "takes no linear of this model"
        return "sees a window of tokens" if model_type == "mistral" else "GGUF is written and read for models of the types"
    if "rotate:" in recipe and model_type in ("falcon", "gpt2", "gpt_neox", "opt"):
        return "only RMS norms can be folded"
    if "format: spqr" in recipe and model_type in ("gpt_neox", "opt", "qwen2"):
        return "its clients have no bias in such linears"
    # Marlin's tiles need rows that no such model has, and compressed-tensors cannot pack a Conv1D.
    quantizes = "bits:" in recipe or "type:" in recipe
    if "format: marlin" in recipe or model_type == "gpt2" and quantizes and "format: gptq" not in recipe:
        return "cannot carry"
    return None


@pytest.mark.parametrize("recipe", sorted(path.name for path in (cleave.ROOT / "Configs").glob("*.yaml") if path.name != "demo.yaml"))
@pytest.mark.parametrize("wide_model", sorted({model_type for model_type, _, _ in MODELS.values()} | {"phi3", "falcon"}), indirect=True)
def test_recipes(recipe, wide_model, tmp_path):
    """Every recipe that comes with Cleave takes every family, or names what its format or its method cannot carry."""
    model_type, folder = wide_model
    text = (cleave.ROOT / "Configs" / recipe).read_text()
    settings = {"calibration.source": str(folder / "calibration.npy"), "calibration.length": LENGTH, "calibration.sequences": 4}
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")] if "calibration:" in text else []
    expected = refusal(text, model_type)
    done = cleave.run(
        "plan", f"Configs/{recipe}", "--model", folder / "source", "--output", tmp_path / "out", *changes, code=65 if expected else 0, ranks=None)
    assert not expected or expected in done.stderr, done.stderr
