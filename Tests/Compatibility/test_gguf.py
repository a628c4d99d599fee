"""Results in GGUF, as the gguf package from PyPI reads them: values, names, types, metadata, split files."""
import json
import struct

import gguf
import numpy as np
import pytest

import cleave

SMALL = {"format": "gguf", "calibration.sequences": 4, "calibration.length": 128, "evaluation": None}
# Every type somewhere, by the column loop and rounded to nearest, in each of its orders.
MIXTURE = {
    "compress": {"type": "q4_k"},
    "rules": [
        {"match": "*.v_proj", "type": "q6_k"}, {"match": "*.0.mlp.*", "type": "q3_k"}, {"match": "*.1.mlp.*", "type": "q2_k"},
        {"match": "*.2.*", "type": "q5_k", "act_order": False}, {"match": "*.3.*", "type": "q8_0"}, {"match": "*.4.*", "type": "q4_0", "method": "rtn"},
        {"match": "*.5.*", "type": "q5_1", "static_groups": True, "act_order": True}, {"match": "*.6.mlp.*", "type": "q4_1", "grid": "mse"},
        {"match": "*.7.mlp.*", "type": "q5_0", "grid": "minmax"}, {"match": "*.7.self_attn.q_proj", "type": "iq4_nl", "method": "rtn"},
        {"match": "*.7.*", "type": "iq4_nl"}, {"match": "*"}],
    "ignore": ["lm_head", "model.layers.6.self_attn.q_proj"],
    "max_shard_size": "2MB",
}
MODULES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def read(directory):
    """Fields of the first file, and tensors of all: name -> (type, weights in fp32 of transformers' shape)."""
    files = sorted(directory.glob("*.gguf"))
    readers = [gguf.GGUFReader(file) for file in files]
    for number, reader in enumerate(readers):
        if len(files) > 1:
            assert reader.fields["split.no"].contents() == number and reader.fields["split.count"].contents() == len(files)
            assert reader.fields["split.tensors.count"].contents() == sum(len(one.tensors) for one in readers)
    tensors = {tensor.name: (tensor.tensor_type.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type)) for one in readers for tensor in one.tensors}
    return {name: field.contents() for name, field in readers[0].fields.items()}, tensors


def dense(directory):
    """Tensors of a checkpoint in BF16, F16 or F32, as fp32: read without a library, so that no client's idea of a shape comes between."""
    result = {}
    for path in sorted(directory.glob("*.safetensors")):
        data = path.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:8 + length]).items():
            if name == "__metadata__":
                continue
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            if entry["dtype"] == "BF16":
                numbers = (np.frombuffer(data[start:end], np.uint16).astype(np.uint32) << 16).view(np.float32)
            elif entry["dtype"] == "F16":
                numbers = np.frombuffer(data[start:end], np.float16).astype(np.float32)
            else:
                assert entry["dtype"] == "F32", entry["dtype"]
                numbers = np.frombuffer(data[start:end], np.float32)
            result[name] = numbers.reshape(entry["shape"])
    return result


def bf16(numbers):
    """fp32 numbers rounded half to even to BF16, as fp32."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def name_of(tensor, modules=MODULES):
    module, kind = tensor.rsplit(".", 1)
    known = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if module in known:
        return f"{known[module]}.{kind}"
    _, _, block, rest = module.split(".", 3)
    return f"blk.{block}.{modules[rest]}.{kind}"


def permuted(weight, heads):
    """llama.cpp's order of the rows of queries and keys: `permute` of its converter."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def in_file(name, weight, config):
    if config["model_type"] in ("llama", "mixtral"):
        if ".q_proj." in name:
            return permuted(weight, config["num_attention_heads"])
        if ".k_proj." in name:
            return permuted(weight, config["num_key_value_heads"])
    return weight


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    cleave.compress(folder / "out", SMALL | MIXTURE)
    cleave.run("convert", folder / "out", "--format", "dense", "--output", folder / "dense", ranks=None)
    return folder


def test_values(result):
    """gguf decodes every tensor to what Cleave says it is."""
    config = json.loads((cleave.MODEL / "config.json").read_text())
    fields, tensors = read(result / "out")
    source, expected = dense(cleave.MODEL), dense(result / "dense")
    assert {name_of(name) for name in source} == tensors.keys()
    types = {}
    for name, weight in expected.items():
        kind, found = tensors[name_of(name)]
        types.setdefault(kind, []).append(name)
        assert np.array_equal(bf16(found), in_file(name, weight, config)), f"{name} ({kind})"
        if kind in ("F32", "BF16"):
            assert np.array_equal(found, in_file(name, source[name], config)), name
        else:
            error = np.linalg.norm(found - in_file(name, source[name], config)) / np.linalg.norm(source[name])
            assert 0 < error < {"Q2_K": 0.8, "Q3_K": 0.4, "Q8_0": 0.02}.get(kind, 0.25), f"{name} ({kind}): {error}"
    assert set(types) == {"F32", "BF16", "Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL"}
    assert types["BF16"] == ["model.layers.6.self_attn.q_proj.weight"]
    # 704 columns are no multiple of 256.
    assert tensors["blk.0.ffn_down.weight"][0] == "Q4_0" and tensors["blk.2.ffn_down.weight"][0] == "Q5_1"
    assert tensors["output.weight"][0] == "Q6_K" and "general.name" not in fields
    # The file, and the embedding, have the type of most weights.
    weights = {kind: sum(expected[name].size for name in names if "proj" in name) for kind, names in types.items()}
    most = max(weights, key=weights.get)
    assert fields["general.file_type"] == gguf.LlamaFileType[f"MOSTLY_{most}"] and tensors["token_embd.weight"][0] == most


def test_metadata(result):
    """Fields have the types on which llama.cpp insists, and the values of config.json and of the tokenizer."""
    config, tokenizer = (json.loads((cleave.MODEL / name).read_text()) for name in ("config.json", "tokenizer.json"))
    reader = gguf.GGUFReader(next((result / "out").glob("*-00001-of-*.gguf")))
    kinds = {name: field.types[-1].name for name, field in reader.fields.items()}
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert next(name for name in fields if not name.startswith("GGUF.")) == "general.architecture"
    expected = {
        "general.architecture": "llama", "llama.block_count": config["num_hidden_layers"], "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"], "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"], "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.rope.dimension_count": config["head_dim"], "llama.vocab_size": config["vocab_size"], "general.quantization_version": 2,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False}
    for name, value in expected.items():
        assert fields[name] == value, name
        assert kinds[name] == {str: "STRING", bool: "BOOL", int: "UINT32"}[type(value)], name
    assert kinds["llama.rope.freq_base"] == kinds["llama.attention.layer_norm_rms_epsilon"] == "FLOAT32"
    assert fields["llama.attention.layer_norm_rms_epsilon"] == np.float32(config["rms_norm_eps"])
    assert fields["llama.rope.freq_base"] == config["rope_parameters"]["rope_theta"]
    by_id = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    assert fields["tokenizer.ggml.tokens"] == [token for token, _ in by_id]
    assert fields["tokenizer.ggml.merges"] == [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    special = {token["id"] for token in tokenizer["added_tokens"]}
    assert fields["tokenizer.ggml.token_type"] == [3 if id in special else 1 for id in range(len(by_id))]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_rounding_to_nearest(kind, tmp_path):
    """With ranges as they are, blocks are those that gguf's own quantizer makes: scales to the bit, and codes but for ties."""
    cleave.compress(tmp_path / "out", SMALL | {"compress": {"method": "rtn", "grid": "minmax", "type": kind.lower()}})
    source, type_ = dense(cleave.MODEL), gguf.GGMLQuantizationType[kind]
    config = json.loads((cleave.MODEL / "config.json").read_text())
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "out/model.gguf").tensors}
    for name in ["model.layers.3.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"]:
        weight, tensor = in_file(name, source[name], config), tensors[name_of(name)]
        assert tensor.tensor_type == type_
        theirs = gguf.quants.quantize(weight, type_)
        size = gguf.GGML_QUANT_SIZES[type_][1]
        scales = 4 if kind.endswith("_1") else 2
        # Where the least and the largest weight have one magnitude, gguf takes the first for the longer side, and Cleave the least.
        ours, other = (np.asarray(part).reshape(-1, size)[:, :scales] & np.uint8([255, 127] * (scales // 2)) for part in (tensor.data, theirs))
        assert np.array_equal(ours, other), name
        ranges = weight.reshape(-1, 32)
        is_tied = ranges.max(1) == -ranges.min(1)
        assert is_tied.mean() < 0.05
        found, other = (gguf.quants.dequantize(part, type_).reshape(-1, 32)[~is_tied] for part in (tensor.data, theirs))
        errors, others = (np.abs(part - ranges[~is_tied]) for part in (found, other))
        # gguf's codes of the halves' types are rounded in fp32 and then truncated: where the two differ, ours are as near or nearer.
        assert np.all(errors <= others * (1 + 1e-5)), name
        assert np.mean(found == other) > 0.98, name


def write_checkpoint(directory, config, tensors, pre_tokenizer=None, tokenizer=None):
    """A model directory with the demo's tokenizer, or another's tokenizer.json; tensors become BF16."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    tokenizer = tokenizer or json.loads((cleave.MODEL / "tokenizer.json").read_text())
    if pre_tokenizer:
        tokenizer["pre_tokenizer"] = pre_tokenizer
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    (directory / "tokenizer_config.json").write_text((cleave.MODEL / "tokenizer_config.json").read_text())
    header, data = {}, b""
    for name, numbers in tensors.items():
        part = (bf16(numbers).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": "BF16", "shape": numbers.shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)


QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
CUTS = {
    "qwen2": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False}, BYTES]},
    "llama-bpe": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")}, "behavior": "Isolated", "invert": False}, BYTES]},
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True}]},
}
# By model_type: what its tokenizer cuts like, and the tensors that it has beside those of Llama.
FAMILIES = {"qwen2": "qwen2", "qwen3": "qwen2", "llama": "llama-bpe", "mistral": "smollm", "gemma2": "gpt-2", "gemma3_text": "gpt-2"}
GEMMA = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}


def small_model(family):
    random = np.random.default_rng(7)
    # Of Gemma 3, every sixth block sees all tokens before it.
    blocks = 6 if family == "gemma3_text" else 2
    config = {
        "model_type": family, "_name_or_path": f"makers/small-{family}", "hidden_size": 256, "intermediate_size": 320, "num_hidden_layers": blocks, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 64, "vocab_size": 4100, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "hidden_act": "silu", "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": [0, 1]}
    if family == "llama":
        config["rope_scaling"] = {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 512}
    if family == "mistral":
        config["sliding_window"] = None
    if family in ("gemma2", "gemma3_text"):
        config |= {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 64, "sliding_window": 64}
    if family == "gemma3_text":
        config |= {"rope_local_base_freq": 20000.0}
    shapes = {"model.embed_tokens.weight": (4100, 256), "model.norm.weight": (256,)}
    for block in range(blocks):
        name = f"model.layers.{block}."
        shapes |= {
            name + "self_attn.q_proj.weight": (256, 256), name + "self_attn.k_proj.weight": (128, 256), name + "self_attn.v_proj.weight": (128, 256),
            name + "self_attn.o_proj.weight": (256, 256), name + "mlp.gate_proj.weight": (320, 256), name + "mlp.up_proj.weight": (320, 256),
            name + "mlp.down_proj.weight": (256, 320), name + "input_layernorm.weight": (256,), name + "post_attention_layernorm.weight": (256,)}
        if family == "qwen2":
            shapes |= {f"{name}self_attn.{part}_proj.bias": (rows,) for part, rows in (("q", 256), ("k", 128), ("v", 128))}
        if family in ("qwen3", "gemma3_text"):
            shapes |= {f"{name}self_attn.{part}_norm.weight": (64,) for part in "qk"}
        if family in ("gemma2", "gemma3_text"):
            shapes |= {f"{name}{part}_feedforward_layernorm.weight": (256,) for part in ("pre", "post")}
    middle = 0 if "gemma" in family else 1
    return config, {name: random.normal(0, 0.05, shape).astype(np.float32) + (middle if "norm" in name else 0) for name, shape in shapes.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tmp_path):
    config, tensors = small_model(family)
    write_checkpoint(tmp_path / "model", config, tensors, CUTS.get(FAMILIES[family]))
    kinds = {"gemma2": "{output_tensor_type: q8_0}", "gemma3_text": "{output_tensor_type: q8_0, token_embedding_type: f16}"}.get(family, "{}")
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", tmp_path / "model", "--output", tmp_path / "out", "--set", "compress={type: q4_k}", "--set", f"gguf={kinds}",
        *[part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")])
    cleave.run("verify", tmp_path / "out", ranks=None)
    fields, found = read(tmp_path / "out")
    name = {"llama": "llama", "mistral": "llama", "gemma3_text": "gemma3"}.get(family, family)
    assert fields["general.architecture"] == name and fields["tokenizer.ggml.pre"] == FAMILIES[family] and fields["general.name"] == f"small-{family}"
    assert fields[f"{name}.attention.key_length"] == 64 and fields[f"{name}.rope.freq_base"] == 500000
    assert fields["tokenizer.ggml.tokens"][4096:] == [f"[PAD{number}]" for number in range(4096, 4100)]
    assert fields["tokenizer.ggml.token_type"][4096:] == [5] * 4
    # Tied: the embedding is the head, and has the head's type where none is given for embeddings.
    modules = MODULES | (GEMMA if "gemma" in family else {})
    assert found.keys() - {"rope_freqs.weight"} == {name_of(tensor, modules) for tensor in tensors}
    assert found["token_embd.weight"][0] == {"gemma2": "Q8_0", "gemma3_text": "F16"}.get(family, "Q6_K")
    arranged = config | {"model_type": "llama" if name == "llama" else family}
    for tensor, numbers in tensors.items():
        kind, weights = found[name_of(tensor, modules)]
        expected = in_file(tensor, bf16(numbers), arranged) + np.float32(1 if "gemma" in family and "norm" in tensor else 0)
        if expected.ndim == 1:
            assert kind == "F32" and np.array_equal(weights, expected), tensor
        else:
            assert np.linalg.norm(weights - expected) < 0.12 * np.linalg.norm(expected), tensor
    if family == "llama":
        plain = 500000.0 ** -(np.arange(0, 64, 2) / 64)
        turns = 512 * plain / (2 * np.pi)
        smooth = np.clip((turns - 1) / 3, 0, 1)
        factors = plain / np.where(turns > 4, plain, np.where(turns < 1, plain / 8, (1 - smooth) * plain / 8 + smooth * plain))
        assert np.allclose(found["rope_freqs.weight"][1], factors, rtol=1e-6)
        assert found["rope_freqs.weight"][0] == "F32" and 1 < factors[-1] <= 8
    else:
        assert "rope_freqs.weight" not in found
    if "gemma" in family:
        assert fields[f"{name}.attention.sliding_window"] == 64
        cleave.run("convert", tmp_path / "out", "--format", "dense", "--output", tmp_path / "dense", ranks=None)
        for tensor, numbers in dense(tmp_path / "dense").items():
            if "norm" in tensor:
                assert np.array_equal(np.float32(1) + numbers, found[name_of(tensor, modules)][1]), tensor
    if family == "gemma2":
        assert fields["gemma2.attn_logit_softcapping"] == 50 and fields["gemma2.final_logit_softcapping"] == 30
    if family == "gemma3_text":
        assert fields["gemma3.rope.freq_base_swa"] == 20000 and "gemma3.final_logit_softcapping" not in fields


def pieces(text):
    """A tokenizer.json as transformers makes it of a SentencePiece model: tokens by score, and all ways to make each of two others."""
    letters = sorted(set(text.replace(" ", "▁")) | {"▁"})
    words = [word for word in ("▁" + text.replace(" ", "▁")).replace("▁", " ▁").split(" ") if word]
    counts = {}
    for word in words:
        for size in (2, 3, 4, 5, 7):
            for start in range(len(word) - size + 1):
                counts[word[start:start + size]] = counts.get(word[start:start + size], 0) + 1
    tokens = sorted(counts, key=lambda token: (-counts[token] * len(token), token))[:600]
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": byte + 3 for byte in range(256)}
    for token in letters + tokens:
        vocabulary.setdefault(token, len(vocabulary))
    known = set(letters + tokens)
    # A token that no two others make would be out of reach of both.
    while lost := [t for t in known if len(t) > 1 and not any(t[:cut] in known and t[cut:] in known for cut in range(1, len(t)))]:
        known -= set(lost)
    vocabulary = {token: place for place, token in enumerate(t for t in vocabulary if t in known or t.startswith("<"))}
    merges = [[token[:cut], token[cut:]] for token in vocabulary if token in known for cut in range(1, len(token)) if token[:cut] in known and token[cut:] in known]
    special = [{"id": place, "content": token, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
               for place, token in enumerate(("<unk>", "<s>", "</s>"))]
    spaces = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": {"type": "Sequence", "normalizers": spaces},
        "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
            "byte_fallback": True, "ignore_merges": False, "vocab": vocabulary, "merges": merges}}


def by_scores(text, tokens, scores):
    """Ids as llama.cpp finds them (llm_tokenizer_spm): the neighbours are joined whose text is the token of the highest score, the first of equal ones."""
    ids, parts = {token: place for place, token in enumerate(tokens)}, list("▁" + text.replace(" ", "▁"))
    while True:
        best = max(((scores[ids[a + b]], -place) for place, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ids), default=None)
        if best is None:
            break
        place = -best[1]
        parts[place:place + 2] = [parts[place] + parts[place + 1]]
    return [id for part in parts for id in ([ids[part]] if part in ids else [ids[f"<0x{byte:02X}>"] for byte in part.encode()])]


def test_sentencepiece(tmp_path):
    """Scores of tokens lead to the ids that the tokenizers library finds by merges."""
    import tokenizers
    text = (cleave.ROOT / "Demo/evaluation.txt").read_text()[:20000].replace("\n", " ")
    config, tensors = small_model("llama")
    write_checkpoint(tmp_path / "model", config, tensors)
    (tmp_path / "model/tokenizer.json").write_text(json.dumps(pieces(text)))
    (tmp_path / "model/tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}))
    options = [part for key, value in (SMALL | {"calibration": None}).items() for part in ("--set", f"{key}={json.dumps(value)}") if "." not in key]
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", tmp_path / "model", "--output", tmp_path / "out", "--set", "compress={type: q8_0, method: rtn}", *options)
    fields, _ = read(tmp_path / "out")
    assert fields["tokenizer.ggml.model"] == "llama" and fields["tokenizer.ggml.add_space_prefix"] is True and fields["tokenizer.ggml.add_bos_token"] is True
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert kinds[:3] == [2, 3, 3] and set(kinds[3:259]) == {6} and fields["tokenizer.ggml.unknown_token_id"] == 0
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "model/tokenizer.json"))
    for start in range(0, 20000, 500):
        some = text[start:start + 480] + " é漢  x   "
        assert by_scores(some, tokens, fields["tokenizer.ggml.scores"]) == library.encode(some, add_special_tokens=False).ids


SHARED = {f"{part}_proj": f"ffn_{part}_shexp" for part in ("gate", "up", "down")}
MIXTURES = {
    "mixtral": {"block_sparse_moe.gate": "ffn_gate_inp"}, "olmoe": {"mlp.gate": "ffn_gate_inp"}, "qwen3_moe": {"mlp.gate": "ffn_gate_inp"},
    "qwen2_moe": {"mlp.gate": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp"} | {f"mlp.shared_expert.{a}": b for a, b in SHARED.items()},
    "deepseek_v3": {
        "mlp.gate": "ffn_gate_inp", "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
        "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm"} | {f"mlp.shared_experts.{a}": b for a, b in SHARED.items()},
}
EXPERTS = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps", "w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps"}


def small_mixture(family):
    """Two blocks, of which DeepSeek's first has no experts; four experts, two for a token."""
    random = np.random.default_rng(11)
    config, tensors = small_model("qwen3")
    config |= {"model_type": family, "num_experts_per_tok": 2, "tie_word_embeddings": False}
    config |= {"mixtral": {"num_local_experts": 4, "sliding_window": None}, "deepseek_v3": {
        "n_routed_experts": 4, "moe_intermediate_size": 320, "n_group": 2, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1,
        "q_lora_rank": 64, "kv_lora_rank": 96, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 48, "num_key_value_heads": 4, "head_dim": 16,
        "routed_scaling_factor": 1.5, "rope_scaling": {
            "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, "beta_fast": 32, "beta_slow": 1, "mscale": 0.7, "mscale_all_dim": 0.7}},
        "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 320, "shared_expert_intermediate_size": 288},
        "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 320, "norm_topk_prob": True}, "olmoe": {"num_experts": 4, "num_key_value_heads": 4}}[family]
    shapes = {"lm_head.weight": (4100, 256)}
    for block in range(2):
        name, module = f"model.layers.{block}.", "block_sparse_moe" if family == "mixtral" else "mlp"
        linears = ("w1", "w3", "w2") if family == "mixtral" else ("gate_proj", "up_proj", "down_proj")
        is_dense = family == "deepseek_v3" and block == 0
        for tensor in list(tensors):
            if ".mlp." in tensor and not is_dense and tensor.startswith(name) or "_norm" in tensor and family != "qwen3_moe" and "self_attn" in tensor:
                del tensors[tensor]
        if not is_dense:
            shapes[f"{name}{module}.gate.weight"] = (4, 256)
            for expert in range(4):
                shapes |= {f"{name}{module}.experts.{expert}.{linear}.weight": (256, 320) if place == 2 else (320, 256) for place, linear in enumerate(linears)}
        if family == "qwen2_moe":
            shapes |= {f"{name}mlp.shared_expert.{linear}.weight": (256, 288) if linear == "down_proj" else (288, 256) for linear in linears}
            shapes |= {f"{name}self_attn.{part}_proj.bias": (rows,) for part, rows in (("q", 256), ("k", 128), ("v", 128))}
            shapes[f"{name}mlp.shared_expert_gate.weight"] = (1, 256)
        if family == "olmoe":
            shapes |= {f"{name}self_attn.{part}_norm.weight": (256,) for part in "qk"} | {f"{name}self_attn.{part}_proj.weight": (256, 256) for part in "kv"}
        if family == "deepseek_v3":
            for part in "qkv":
                del tensors[f"{name}self_attn.{part}_proj.weight"]
            shapes |= {
                name + "self_attn.q_a_proj.weight": (64, 256), name + "self_attn.q_a_layernorm.weight": (64,), name + "self_attn.q_b_proj.weight": (192, 64),
                name + "self_attn.kv_a_proj_with_mqa.weight": (112, 256), name + "self_attn.kv_a_layernorm.weight": (96,),
                name + "self_attn.kv_b_proj.weight": (320, 96), name + "self_attn.o_proj.weight": (256, 192)}
            if not is_dense:
                shapes |= {f"{name}mlp.shared_experts.{linear}.weight": (256, 320) if linear == "down_proj" else (320, 256) for linear in linears}
                shapes[f"{name}mlp.gate.e_score_correction_bias"] = (4,)
    tensors |= {name: random.normal(0, 0.05, shape).astype(np.float32) + (1 if "norm" in name else 0) for name, shape in shapes.items()}
    return config, tensors


def as_in_file(tensors, config):
    """Tensors of GGUF's names and shapes: experts stacked, keys and values of the latent vector apart."""
    family, result, stacks = config["model_type"], {}, {}
    for name, weight in tensors.items():
        if ".experts." in name:
            block, expert, linear = name.split(".")[2], name.split(".")[-3], name.split(".")[-2]
            stacks.setdefault(f"blk.{block}.{EXPERTS[linear]}.weight", {})[int(expert)] = weight
        elif name.endswith("kv_b_proj.weight"):
            block, plain, value = name.split(".")[2], config["qk_nope_head_dim"], config["v_head_dim"]
            heads = weight.reshape(config["num_attention_heads"], plain + value, -1)
            result |= {f"blk.{block}.attn_k_b.weight": heads[:, :plain].transpose(0, 2, 1), f"blk.{block}.attn_v_b.weight": heads[:, plain:]}
        elif name.endswith("e_score_correction_bias"):
            result[f"blk.{name.split('.')[2]}.exp_probs_b.bias"] = weight
        else:
            weight = weight[0] if name.endswith("shared_expert_gate.weight") else weight
            result[name_of(name, MODULES | MIXTURES[family])] = in_file(name, weight, config)
    return result | {name: np.stack([experts[number] for number in sorted(experts)]) for name, experts in stacks.items()}


@pytest.mark.parametrize("family", MIXTURES)
def test_mixtures(family, tmp_path):
    """Experts in one tensor for each of their linears, other types for the downs; the values are those of a dense copy, the bytes those of other ranks."""
    config, tensors = small_mixture(family)
    write_checkpoint(tmp_path / "model", config, tensors, CUTS["qwen2"])
    settings = SMALL | {
        "rules": [{"match": "re:.*experts.*(w2|down_proj)", "type": "q6_k"}, {"match": "*"}], "max_shard_size": "1MB",
        "ignore": ["lm_head"] + (["*.kv_b_proj"] if family == "deepseek_v3" else [])}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    for ranks in (2, 3):
        cleave.run(
            "compress", "Configs/demo.yaml", "--model", tmp_path / "model", "--output", tmp_path / f"out{ranks}", "--set", "compress={type: q4_k}", *options,
            ranks=ranks)
    files = sorted(path.name for path in (tmp_path / "out2").glob("*.gguf"))
    assert len(files) > 1 and files == sorted(path.name for path in (tmp_path / "out3").glob("*.gguf"))
    for name in [*files, "cleave_manifest.json"]:
        assert (tmp_path / "out2" / name).read_bytes() == (tmp_path / "out3" / name).read_bytes(), name
    cleave.run("verify", tmp_path / "out2", ranks=None)
    cleave.run("convert", tmp_path / "out2", "--format", "dense", "--output", tmp_path / "dense", ranks=None)
    fields, found = read(tmp_path / "out2")
    source, expected = as_in_file(tensors, config), as_in_file(dense(tmp_path / "dense"), config)
    assert found.keys() == source.keys() == expected.keys()
    for name, (kind, weights) in found.items():
        assert np.array_equal(weights if kind == "F32" else bf16(weights), expected[name]), name
        if kind in ("F32", "BF16"):
            assert np.array_equal(weights, bf16(source[name])), name
        else:
            assert np.linalg.norm(weights - source[name]) < 0.15 * np.linalg.norm(source[name]), name
    # 320 columns are no multiple of 256.
    block = found["blk.1.ffn_gate_exps.weight"], found["blk.1.ffn_up_exps.weight"], found["blk.1.ffn_down_exps.weight"]
    assert [kind for kind, _ in block] == ["Q4_K", "Q4_K", "Q8_0"] and [weights.shape for _, weights in block] == [(4, 320, 256)] * 2 + [(4, 256, 320)]
    assert found["blk.1.ffn_gate_inp.weight"][0] == "F32"
    name = {"mixtral": "llama", "olmoe": "olmoe", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "deepseek_v3": "deepseek2"}[family]
    numbers = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 320}
    if family == "qwen2_moe":
        numbers |= {"expert_shared_feed_forward_length": 288}
        assert found["blk.0.ffn_gate_inp_shexp.weight"][1].shape == (256,)
    if family == "deepseek_v3":
        numbers |= {
            "leading_dense_block_count": 1, "expert_shared_count": 1, "expert_weights_norm": True, "expert_gating_func": 2, "expert_weights_scale": 1.5,
            "expert_group_count": 2, "expert_group_used_count": 1, "attention.head_count_kv": 1, "attention.kv_lora_rank": 96, "attention.q_lora_rank": 64,
            "attention.key_length": 112, "attention.value_length": 96, "attention.key_length_mla": 48, "attention.value_length_mla": 48,
            "rope.dimension_count": 16, "rope.scaling.type": "yarn", "rope.scaling.factor": 4, "rope.scaling.original_context_length": 512}
        assert fields[f"{name}.rope.scaling.yarn_log_multiplier"] == pytest.approx(0.07, rel=1e-5)
    assert fields["general.architecture"] == name and {key: fields[f"{name}.{key}"] for key in numbers} == numbers


def test_refusals(tmp_path):
    config, tensors = small_model("qwen2")
    settings = SMALL | {"compress": {"type": "q4_k"}}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]

    def refused(directory, text, *more):
        done = cleave.run("compress", "Configs/demo.yaml", *options, *more, "--model", directory, "--output", tmp_path / "out", code=65, ranks=None)
        assert text in done.stderr and not (tmp_path / "out/config.json").exists(), done.stderr

    write_checkpoint(tmp_path / "unknown", config, tensors, BYTES | {"add_prefix_space": True})
    refused(tmp_path / "unknown", "`pre_tokenizer` of tokenizer.json is none of those")
    write_checkpoint(tmp_path / "windows", config | {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0}, tensors, CUTS["qwen2"])
    refused(tmp_path / "windows", "attention that sees a window of tokens")
    deepseek, weights = small_mixture("deepseek_v3")
    write_checkpoint(tmp_path / "latent", deepseek, weights, CUTS["qwen2"])
    refused(tmp_path / "latent", "`ignore: ['*.kv_b_proj']`")
    mixture, weights = small_mixture("qwen3_moe")
    write_checkpoint(tmp_path / "mixture", mixture, weights, CUTS["qwen2"])
    some = [{"match": "*.experts.2.up_proj", "type": "q5_k"}, {"match": "*"}]
    refused(tmp_path / "mixture", "GGUF has one tensor for this linear of all experts", "--set", f"rules={json.dumps(some)}")
    write_checkpoint(tmp_path / "sums", mixture | {"norm_topk_prob": False}, weights, CUTS["qwen2"])
    refused(tmp_path / "sums", "`norm_topk_prob: false`, which llama.cpp does not compute")
    refused(cleave.MODEL, "GGUF has blocks; give `compress.type`", "--set", "compress={bits: 4}")
    refused(cleave.MODEL, "contradicts `type: q4_k`", "--set", "compress={type: q4_k, group: 64}")
    refused(cleave.MODEL, "compressed-tensors has none of `type: q4_k`", "--set", "format=compressed-tensors")
