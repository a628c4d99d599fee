"""GGUF results in llama.cpp itself: every architecture that is written loads, and has the perplexity that `cleave eval` finds."""
import json

import gguf
import numpy as np
import pytest

import cleave
import llama_cpp
from test_gguf import CUTS, FAMILIES, MIXTURES, SMALL, small_mixture, small_model, write_checkpoint

# Longer than the windows of small models.
WINDOWS, LENGTH = 3, 160


def ids(vocabulary):
    return np.random.default_rng(3).integers(0, vocabulary, (WINDOWS, LENGTH), dtype=np.int32)


def rewritten(source, target, change):
    """A copy of a file with other weights.

    change: of a tensor and its weights in fp32, what it is to be: numbers, and the type of ggml whose bytes they are, or None.
    """
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        numbers, kind = change(tensor, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
        writer.add_tensor(tensor.name, numbers, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def in_fp32(source, target):
    """llama.cpp rounds what it multiplies with blocks to 8 bits, and with F32 nothing."""
    rewritten(source, target, lambda _, weights: (weights, None))


def compare(folder, config, tensors, cut, ignored, of_blocks):
    # Predictions of random weights say more of each logit when these differ more.
    head = "lm_head.weight" if "lm_head.weight" in tensors else "model.embed_tokens.weight"
    tensors[head] = tensors[head] * 4
    write_checkpoint(folder / "model", config, tensors, cut)
    options = [part for key, value in (SMALL | {"ignore": ignored}).items() for part in ("--set", f"{key}={json.dumps(value)}")]
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", folder / "model", "--output", folder / "out", "--set", "compress={type: q8_0, method: rtn}", "--set",
        "gguf={output_tensor_type: f32, token_embedding_type: f32}", *options)
    tokens = ids(config["vocab_size"])
    np.save(folder / "ids.npy", tokens.ravel())
    expected = cleave.perplexity(folder / "out", folder / "ids.npy", LENGTH, WINDOWS)
    in_fp32(folder / "out/model.gguf", folder / "fp32.gguf")
    exact, found = (llama_cpp.perplexity(path, tokens, LENGTH, 2) for path in (folder / "fp32.gguf", folder / "out/model.gguf"))
    assert exact == pytest.approx(expected, rel=1e-3), "weights in F32"
    assert found == pytest.approx(expected, rel=of_blocks), "blocks"


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tmp_path):
    config, tensors = small_model(family)
    compare(tmp_path, config, tensors, CUTS.get(FAMILIES[family]), ["lm_head"], of_blocks=5e-3)


@pytest.mark.parametrize("family", MIXTURES)
def test_mixtures(family, tmp_path):
    config, tensors = small_mixture(family)
    ignored = ["lm_head", "*.kv_b_proj"] if family == "deepseek_v3" else ["lm_head"]
    # Inputs of blocks in 8 bits send some tokens of a random mixture to other experts; in F32 all go where they should.
    compare(tmp_path, config, tensors, CUTS["qwen2"], ignored, of_blocks=3e-2)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A result most of whose weights are plain, and ids."""
    folder = tmp_path_factory.mktemp("plain")
    config, tensors = small_model("qwen3")
    write_checkpoint(folder / "model", config, tensors, CUTS["qwen2"])
    options = [part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", folder / "model", "--output", folder / "out", "--set", "compress={type: q8_0, method: rtn}", "--set",
        "gguf={output_tensor_type: f32}", "--set", 'ignore=["re:.*(?<!0.mlp.up_proj)$"]', *options)
    tokens = ids(config["vocab_size"])
    np.save(folder / "ids.npy", tokens.ravel())
    return folder, tokens


def by_llama_cpp(folder, target, kind):
    """A directory with a file whose linears are blocks that llama.cpp's own quantizer has made."""
    target.mkdir()
    for path in (folder / "out").glob("*.json"):
        if not path.name.startswith("cleave"):
            (target / path.name).write_bytes(path.read_bytes())

    def change(tensor, weights):
        if not tensor.name.startswith("blk.") or weights.ndim < 2 or weights.shape[1] % gguf.GGML_QUANT_SIZES[kind][0]:
            return weights, None
        blocks = llama_cpp.quantize(weights, kind.value, np.ones(weights.shape[1]))
        return blocks.reshape(len(weights), -1), kind

    rewritten(folder / "out/model.gguf", target / "model.gguf", change)


@pytest.mark.parametrize("kind", [kind for kind in gguf.GGMLQuantizationType if gguf.GGML_QUANT_SIZES[kind][0] > 1 and kind.name not in ("Q8_1", "Q8_K")])
def test_its_own_blocks(kind, plain, tmp_path):
    """What llama.cpp has quantized is read as llama.cpp reads it, or refused by the name of its type."""
    folder, tokens = plain
    by_llama_cpp(folder, tmp_path / "theirs", kind)
    read = ["Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "Q3_K", "Q2_K", "IQ4_NL"]
    listing = cleave.run("inspect", tmp_path / "theirs", ranks=None).stdout
    assert f" {kind.name}" in listing, listing
    if kind.name in read:
        in_fp32(tmp_path / "theirs/model.gguf", tmp_path / "fp32.gguf")
        found = cleave.perplexity(tmp_path / "theirs", folder / "ids.npy", LENGTH, WINDOWS)
        assert found == pytest.approx(llama_cpp.perplexity(tmp_path / "fp32.gguf", tokens, LENGTH, 2), rel=1e-3)
    else:
        done = cleave.run("eval", tmp_path / "theirs", "--data", folder / "ids.npy", "--length", LENGTH, code=65)
        assert f"is of {kind.name}, which is not read here" in done.stderr
