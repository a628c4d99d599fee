"""GGUF results in llama.cpp itself: every architecture that is written loads, and has the perplexity that `cleave eval` finds."""
import json
import pathlib
import unicodedata

import gguf
import numpy as np
import pytest

import cleave
import llama_cpp
from test_gguf import CUTS, FAMILIES, MIXTURES, SMALL, small_mixture, small_model, write_checkpoint
from tokenizer_families import deepseek_families, main_families
from tokenizer_texts import short_texts

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
    assert llama_cpp.perplexity(folder / "fp32.gguf", tokens, LENGTH, 2) == pytest.approx(expected, rel=1e-3), "weights in F32"
    if of_blocks:
        assert llama_cpp.perplexity(folder / "out/model.gguf", tokens, LENGTH, 2) == pytest.approx(expected, rel=of_blocks), "blocks"


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tmp_path):
    config, tensors = small_model(family)
    compare(tmp_path, config, tensors, CUTS.get(FAMILIES[family]), ["lm_head"], of_blocks=5e-3)


def decide_routes(tensors):
    """Routers whose choices no rounding changes: each token's embedding says its two experts, in four columns that nothing else writes and routers alone heed."""
    embedding = tensors["model.embed_tokens.weight"]
    tokens = np.arange(len(embedding))
    embedding[:, -4:] = 0
    # Of neighbours, since DeepSeek chooses among two groups of them.
    embedding[tokens, -4 + tokens % 4] = 0.3
    embedding[tokens, -4 + (tokens % 4 ^ 1)] = 0.15
    for name, weight in tensors.items():
        if name.endswith(".gate.weight"):
            weight[:] = 0
            weight[:, -4:] = np.eye(4)
        elif name.endswith(("o_proj.weight", "down_proj.weight", "w2.weight")):
            weight[-4:] = 0


@pytest.mark.parametrize("family", MIXTURES)
def test_mixtures(family, tmp_path):
    config, tensors = small_mixture(family)
    decide_routes(tensors)
    compare(tmp_path, config, tensors, CUTS["qwen2"], kept(family), of_blocks=5e-3 if family == "qwen2_moe" else 2e-3)


@pytest.mark.parametrize("family", MIXTURES)
def test_routes(family, tmp_path):
    """Routers of random weights. Inputs of blocks in 8 bits send some tokens to other experts, so that only weights in F32 can be compared."""
    config, tensors = small_mixture(family)
    compare(tmp_path, config, tensors, CUTS["qwen2"], kept(family), of_blocks=None)


def kept(family):
    return ["lm_head", "*.kv_b_proj"] if family == "deepseek_v3" else ["lm_head"]


@pytest.fixture(scope="module")
def tokenizers():
    """By family: a tokenizer, and what llama.cpp calls its way to cut texts into words."""
    texts = [text for _, text in short_texts()] + pathlib.Path(llama_cpp.__file__).read_text().splitlines(keepends=True)
    families = main_families(texts, 3000)
    names = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2", "smollm2": "smollm"}
    return {name: (families[name], cut) for name, cut in names.items()} | {name: (of, name) for name, of in deepseek_families(texts, 3000).items()}


@pytest.mark.parametrize("family", ["gpt2", "llama3", "qwen2", "smollm2", "deepseek-v3", "deepseek-llm", "deepseek-coder"])
def test_ids_of_texts(family, tokenizers, tmp_path):
    """llama.cpp gives texts the ids that the tokenizer of the source gives."""
    tokenizer, cut = tokenizers[family]
    config, tensors = small_model("qwen2")
    write_checkpoint(tmp_path / "model", config, tensors, tokenizer=json.loads(tokenizer.to_str()))
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", tmp_path / "model", "--output", tmp_path / "out", "--set", "compress={type: q8_0, method: rtn}",
        *[part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")])
    assert gguf.GGUFReader(tmp_path / "out/model.gguf").fields["tokenizer.ggml.pre"].contents() == cut
    texts = dict(short_texts())
    if family == "qwen2":
        # llama.cpp leaves texts as they are.
        texts = {name: unicodedata.normalize("NFC", text) for name, text in texts.items()}
    if family in ("deepseek-llm", "deepseek-coder"):
        # Among the characters that these tokenizers take for ideographs (U+0800 to U+4E00), and llama.cpp, which makes all spaces one, does not.
        spaces = {place: " " for place in range(0x800, 0x4E00) if chr(place).isspace()}
        texts = {name: text.translate(spaces) for name, text in texts.items()}
    for (name, text), found in zip(texts.items(), llama_cpp.tokenize(tmp_path / "out/model.gguf", texts.values())):
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        first = next((place for place, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), 0)
        around = [[tokenizer.id_to_token(id) for id in part[max(first - 3, 0):first + 4]] for part in (found, expected)]
        assert found == expected, f"{name}: {around[0]} instead of {around[1]}"


def test_merged_digits(tokenizers, tmp_path):
    """Where the tokenizer cuts between digits and llama.cpp does not, no merge may join two."""
    file = json.loads(tokenizers["deepseek-llm"][0].to_str())
    file["model"]["vocab"]["12"] = len(file["model"]["vocab"])
    file["model"]["merges"].append(["1", "2"])
    config, tensors = small_model("qwen2")
    write_checkpoint(tmp_path / "model", config, tensors, tokenizer=file)
    done = cleave.run(
        "compress", "Configs/demo.yaml", "--model", tmp_path / "model", "--output", tmp_path / "out", "--set", "format=gguf", "--set", "compress={type: q8_0}",
        code=65, ranks=None)
    assert 'cuts between digits and has a merge of "1" and "2"' in done.stderr, done.stderr


@pytest.fixture(scope="module", params=["qwen3", "qwen3_moe"])
def plain(request, tmp_path_factory):
    """A result most of whose weights are plain, and ids."""
    folder = tmp_path_factory.mktemp("plain")
    is_mixture = request.param in MIXTURES
    config, tensors = small_mixture(request.param) if is_mixture else small_model(request.param)
    if is_mixture:
        decide_routes(tensors)
    write_checkpoint(folder / "model", config, tensors, CUTS["qwen2"])
    options = [part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    compressed = "0.mlp.experts.[0-3].up_proj" if is_mixture else "0.mlp.up_proj"
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", folder / "model", "--output", folder / "out", "--set", "compress={type: q8_0, method: rtn}", "--set",
        "gguf={output_tensor_type: f32}", "--set", f'ignore=["re:.*(?<!{compressed})$"]', *options)
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
        columns = weights.shape[-1]
        if not tensor.name.startswith("blk.") or "ffn_gate_inp" in tensor.name or weights.ndim < 2 or columns % gguf.GGML_QUANT_SIZES[kind][0]:
            return weights, None
        # Of a mixture, all experts' rows.
        blocks = llama_cpp.quantize(weights.reshape(-1, columns), kind.value, np.ones(columns))
        return blocks.reshape(*weights.shape[:-1], -1), kind

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
        exact, rounded = (llama_cpp.perplexity(path, tokens, LENGTH, 2) for path in (tmp_path / "fp32.gguf", tmp_path / "theirs/model.gguf"))
        assert found == pytest.approx(exact, rel=1e-3), "weights in F32"
        assert found == pytest.approx(rounded, rel=3e-3), "blocks"
    else:
        done = cleave.run("eval", tmp_path / "theirs", "--data", folder / "ids.npy", "--length", LENGTH, code=65)
        assert f"is of {kind.name}, which is not read here" in done.stderr
