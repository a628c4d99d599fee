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
        {"match": "*.7.mlp.*", "type": "q5_0", "grid": "minmax"}, {"match": "*"}],
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
    """Tensors of a checkpoint in BF16 or F32, as fp32: read without a library, so that no client's idea of a shape comes between."""
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
            else:
                assert entry["dtype"] == "F32", entry["dtype"]
                numbers = np.frombuffer(data[start:end], np.float32)
            result[name] = numbers.reshape(entry["shape"])
    return result


def bf16(numbers):
    """fp32 numbers rounded half to even to BF16, as fp32."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def name_of(tensor):
    module, kind = tensor.rsplit(".", 1)
    known = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if module in known:
        return f"{known[module]}.{kind}"
    _, _, block, rest = module.split(".", 3)
    return f"blk.{block}.{MODULES[rest]}.{kind}"


def permuted(weight, heads):
    """llama.cpp's order of the rows of queries and keys: `permute` of its converter."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def in_file(name, weight, config):
    if config["model_type"] == "llama":
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
    assert set(types) == {"F32", "BF16", "Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0"}
    assert types["BF16"] == ["model.layers.6.self_attn.q_proj.weight"]
    # 704 columns are no multiple of 256.
    assert tensors["blk.0.ffn_down.weight"][0] == "Q4_0" and tensors["blk.2.ffn_down.weight"][0] == "Q5_1"
    assert tensors["output.weight"][0] == "Q6_K"
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


def write_checkpoint(directory, config, tensors, pre_tokenizer=None):
    """A model directory with the demo's tokenizer; tensors become BF16."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((cleave.MODEL / "tokenizer.json").read_text())
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
FAMILIES = {"qwen2": "qwen2", "qwen3": "qwen2", "llama": "llama-bpe", "mistral": "smollm"}


def small_model(family):
    random = np.random.default_rng(7)
    config = {
        "model_type": family, "hidden_size": 256, "intermediate_size": 320, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 64, "vocab_size": 4100, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "hidden_act": "silu", "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": [0, 1]}
    if family == "llama":
        config["rope_scaling"] = {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 512}
    if family == "mistral":
        config["sliding_window"] = None
    shapes = {"model.embed_tokens.weight": (4100, 256), "model.norm.weight": (256,)}
    for block in range(2):
        name = f"model.layers.{block}."
        shapes |= {
            name + "self_attn.q_proj.weight": (256, 256), name + "self_attn.k_proj.weight": (128, 256), name + "self_attn.v_proj.weight": (128, 256),
            name + "self_attn.o_proj.weight": (256, 256), name + "mlp.gate_proj.weight": (320, 256), name + "mlp.up_proj.weight": (320, 256),
            name + "mlp.down_proj.weight": (256, 320), name + "input_layernorm.weight": (256,), name + "post_attention_layernorm.weight": (256,)}
        if family == "qwen2":
            shapes |= {f"{name}self_attn.{part}_proj.bias": (rows,) for part, rows in (("q", 256), ("k", 128), ("v", 128))}
        if family == "qwen3":
            shapes |= {f"{name}self_attn.{part}_norm.weight": (64,) for part in "qk"}
    return config, {name: random.normal(0, 0.05, shape).astype(np.float32) + (1 if "norm" in name else 0) for name, shape in shapes.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, tmp_path):
    config, tensors = small_model(family)
    write_checkpoint(tmp_path / "model", config, tensors, CUTS[FAMILIES[family]])
    cleave.run(
        "compress", "Configs/demo.yaml", "--model", tmp_path / "model", "--output", tmp_path / "out", "--set", "compress={type: q4_k}",
        *[part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")])
    cleave.run("verify", tmp_path / "out", ranks=None)
    fields, found = read(tmp_path / "out")
    name = {"llama": "llama", "mistral": "llama"}.get(family, family)
    assert fields["general.architecture"] == name and fields["tokenizer.ggml.pre"] == FAMILIES[family]
    assert fields[f"{name}.attention.key_length"] == 64 and fields[f"{name}.rope.freq_base"] == 500000
    assert fields["tokenizer.ggml.tokens"][4096:] == [f"[PAD{number}]" for number in range(4096, 4100)]
    assert fields["tokenizer.ggml.token_type"][4096:] == [5] * 4
    # Tied: the embedding is the head, and has the head's type.
    assert found.keys() - {"rope_freqs.weight"} == {name_of(tensor) for tensor in tensors} and found["token_embd.weight"][0] == "Q6_K"
    arranged = config | {"model_type": "llama" if name == "llama" else family}
    for tensor, numbers in tensors.items():
        kind, weights = found[name_of(tensor)]
        expected = in_file(tensor, bf16(numbers), arranged)
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
    refused(cleave.MODEL, "GGUF has blocks; give `compress.type`", "--set", "compress={bits: 4}")
    refused(cleave.MODEL, "contradicts `type: q4_k`", "--set", "compress={type: q4_k, group: 64}")
    refused(cleave.MODEL, "compressed-tensors has none of `type: q4_k`", "--set", "format=compressed-tensors")
