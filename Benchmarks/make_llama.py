#!/usr/bin/env python3
"""Make a Llama-shaped checkpoint with random weights, block by block, and random calibration ids beside it.

    Benchmarks/make_llama.py OUT [--blocks 2] [--hidden 4096] [--intermediate 11008] [--heads 32] [--kv-heads 32] [--vocab 32000]

Without options: Llama-2-7B cut to 2 blocks. One shard for each block, so that memory is bounded by a block. OUT/ids.npy holds 2^17 ids. Needs
torch, safetensors and numpy (those of Tests/Compatibility/requirements.txt do).
"""
import argparse
import json
import pathlib

import numpy
import torch
from safetensors.torch import save_file

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--blocks", type=int, default=2)
parser.add_argument("--hidden", type=int, default=4096)
parser.add_argument("--intermediate", type=int, default=11008)
parser.add_argument("--heads", type=int, default=32)
parser.add_argument("--kv-heads", type=int, default=32)
parser.add_argument("--vocab", type=int, default=32000)
arguments = parser.parse_args()

generator = torch.Generator().manual_seed(0)
hidden, intermediate = arguments.hidden, arguments.intermediate
key_columns = hidden // arguments.heads * arguments.kv_heads


def linear(rows, columns):
    return (torch.randn(rows, columns, generator=generator) / columns**0.5).to(torch.bfloat16)


def block(index):
    name = f"model.layers.{index}."
    shapes = {
        "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (key_columns, hidden), "self_attn.v_proj": (key_columns, hidden),
        "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (intermediate, hidden), "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
    }
    tensors = {f"{name}{linear_name}.weight": linear(*shape) for linear_name, shape in shapes.items()}
    for norm in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"{name}{norm}.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
    return tensors


def ends():
    return {
        "model.embed_tokens.weight": linear(arguments.vocab, hidden) * hidden**0.5, "lm_head.weight": linear(arguments.vocab, hidden),
        "model.norm.weight": torch.ones(hidden, dtype=torch.bfloat16),
    }


arguments.out.mkdir(parents=True)
places, size = {}, 0
count = arguments.blocks + 1
for shard in range(count):
    tensors = block(shard) if shard < arguments.blocks else ends()
    file = f"model-{shard + 1:05}-of-{count:05}.safetensors"
    save_file(tensors, arguments.out / file, metadata={"format": "pt"})
    places.update(dict.fromkeys(tensors, file))
    size += sum(tensor.numel() * 2 for tensor in tensors.values())
(arguments.out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=1))
(arguments.out / "config.json").write_text(json.dumps({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": intermediate,
    "num_hidden_layers": arguments.blocks, "num_attention_heads": arguments.heads, "num_key_value_heads": arguments.kv_heads,
    "vocab_size": arguments.vocab, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}, indent=1))
numpy.save(arguments.out / "ids.npy", numpy.random.default_rng(0).integers(0, arguments.vocab, 1 << 17, dtype=numpy.int32))
print(f"{arguments.out}: {size / 1e9:.1f} GB in {count} shards")
