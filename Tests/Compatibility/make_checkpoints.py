#!/usr/bin/env python3
"""Makes small random checkpoints of every model family, with the logits that transformers computes for them in fp32.

    make_checkpoints.py checkpoints DIRECTORY   # one Hugging Face folder per variant, with reference.safetensors (ids, logits)
    make_checkpoints.py fixtures DIRECTORY      # the same variants, tiny, as NAME.json + NAME.bin for Swift's unit tests

A fixture's NAME.bin holds little-endian fp32 numbers one tensor after another; NAME.json holds config.json's object, each tensor's shape and
offset (in numbers), the ids, and where the expected logits lie.
"""

import argparse
import json
import pathlib
import tempfile

import numpy
import torch
import transformers
from safetensors.torch import load_file, save_file

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
          "rope_theta": 10000.0}
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}

# The sequences are longer than a block of query rows, so that windows and blocks cross.
SEQUENCE_LENGTHS = [150, 70]


def variants(hidden, blocks, vocabulary, positions):
    """(name, model_type, options of its configuration) of each variant."""
    llama = dict(hidden_size=hidden, intermediate_size=hidden * 3 // 2, num_hidden_layers=blocks, num_attention_heads=4,
                 vocab_size=vocabulary, max_position_embeddings=positions)
    yield "llama", "llama", llama
    yield "llama-tied-grouped", "llama", llama | dict(num_key_value_heads=2, tie_word_embeddings=True)
    yield "llama-biases-head-size", "llama", llama | dict(attention_bias=True, mlp_bias=True, head_dim=10, num_key_value_heads=1)
    yield "llama-rope-llama3", "llama", llama | dict(rope_parameters=LLAMA3, num_key_value_heads=2, head_dim=12)
    yield "llama-rope-linear", "llama", llama | dict(rope_parameters=LINEAR)
    yield "mistral-window", "mistral", llama | dict(num_key_value_heads=2, sliding_window=24)
    yield "mistral-no-window", "mistral", llama | dict(num_key_value_heads=2, sliding_window=None, head_dim=6)
    yield "qwen2", "qwen2", llama | dict(num_key_value_heads=2)
    yield "qwen2-windows", "qwen2", llama | dict(num_key_value_heads=2, use_sliding_window=True, sliding_window=40, max_window_layers=1)
    yield "qwen3", "qwen3", llama | dict(num_key_value_heads=2, head_dim=8, tie_word_embeddings=True)
    gpt2 = dict(n_embd=hidden, n_inner=hidden * 2, n_layer=blocks, n_head=4, vocab_size=vocabulary, n_positions=positions)
    yield "gpt2", "gpt2", gpt2
    yield "gpt2-erf", "gpt2", gpt2 | dict(activation_function="gelu", n_inner=hidden + 8, tie_word_embeddings=False)
    opt = dict(hidden_size=hidden, num_hidden_layers=blocks, num_attention_heads=4, ffn_dim=hidden * 2, vocab_size=vocabulary,
               max_position_embeddings=positions)
    yield "opt", "opt", opt
    yield "opt-no-bias", "opt", opt | dict(enable_bias=False)
    neox = llama | dict(intermediate_size=hidden * 2, num_attention_heads=hidden // 8)
    yield "gpt-neox", "gpt_neox", neox | dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))
    yield "gpt-neox-sequential", "gpt_neox", neox | dict(
        use_parallel_residual=False, hidden_act="gelu_new",
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=1.0))


def make_model(model_type, options, seed):
    """A random model whose logits spread over several units, so that a wrong one cannot look right."""
    torch.manual_seed(seed)
    configuration = transformers.AutoConfig.for_model(model_type, **options)
    configuration.bos_token_id = configuration.eos_token_id = configuration.pad_token_id = None
    model = transformers.AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").eval().float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_" in name:
                parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.2)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.3)
            elif any(part in name for part in ("embed_tokens", "embed_in", "wte")):
                parameter.normal_(0.0, 1.0)
            elif any(part in name for part in ("wpe", "embed_positions")):
                parameter.normal_(0.0, 0.5)
            else:
                # Conv1D stores [inputs, outputs].
                inputs = parameter.shape[0] if ".c_" in name else parameter.shape[1]
                parameter.normal_(0.0, 1.5 / inputs**0.5)
    return model


def reference(model, seed):
    """Ids of a few sequences, and their logits, each sequence on its own."""
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(0, model.config.vocab_size, (length,), generator=generator) for length in SEQUENCE_LENGTHS]
    with torch.no_grad():
        logits = [model(sequence[None], use_cache=False).logits[0].float() for sequence in ids]
    return ids, logits


def write_checkpoint(directory, model, ids, logits):
    model.save_pretrained(directory)
    tensors = {f"ids.{i}": sequence.to(torch.int32) for i, sequence in enumerate(ids)}
    tensors |= {f"logits.{i}": values.contiguous() for i, values in enumerate(logits)}
    save_file(tensors, directory / "reference.safetensors")


def write_fixture(directory, name, model, ids, logits):
    # Expected logits are kept for the last tokens of each sequence: they depend on all others, and the file stays small.
    kept = 12
    # Through a checkpoint, since the names of tensors in files are not always those in memory.
    with tempfile.TemporaryDirectory() as checkpoint:
        model.save_pretrained(checkpoint)
        tensors = dict(sorted(load_file(pathlib.Path(checkpoint) / "model.safetensors").items()))
    tensors |= {f"expected.{i}": values[-kept:] for i, values in enumerate(logits)}
    index, chunks, offset = {}, [], 0
    for key, value in tensors.items():
        numbers = value.detach().numpy().astype("<f4")
        index[key] = {"shape": list(numbers.shape), "offset": offset}
        chunks.append(numbers.tobytes())
        offset += numbers.size
    (directory / f"{name}.bin").write_bytes(b"".join(chunks))
    configuration = json.loads(model.config.to_json_string(use_diff=False))
    document = {"configuration": configuration, "ids": [sequence.tolist() for sequence in ids], "tensors": index}
    (directory / f"{name}.json").write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["checkpoints", "fixtures"])
    parser.add_argument("directory", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    extents = dict(hidden=24, blocks=2, vocabulary=40, positions=160)
    if arguments.what == "checkpoints":
        extents = dict(hidden=64, blocks=3, vocabulary=256, positions=160)
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for seed, (name, model_type, options) in enumerate(variants(**extents)):
        model = make_model(model_type, options, seed)
        ids, logits = reference(model, seed)
        if arguments.what == "fixtures":
            write_fixture(arguments.directory, name, model, ids, logits)
        else:
            write_checkpoint(arguments.directory / name, model, ids, logits)
        spread = numpy.std(logits[0].numpy())
        print(f"{name}: logits spread over {spread:.2f}")


if __name__ == "__main__":
    main()
