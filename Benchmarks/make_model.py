#!/usr/bin/env python3
"""Make a checkpoint with random weights, block by block, and random calibration ids beside it: a Llama, with --experts a Qwen3-MoE, with --latent too a
DeepSeek-V3, whose blocks all have experts; with --fp8 linears are FP8 in blocks of 128 x 128, as DeepSeek publishes them.

    Benchmarks/make_model.py OUT [--blocks 2] [--hidden 4096] [--intermediate 11008] [--heads 32] [--kv-heads 32] [--vocab 32000]
    Benchmarks/make_model.py OUT --blocks 1 --hidden 2048 --intermediate 768 --experts 128 --chosen 8 --heads 32 --kv-heads 4 --head-dim 128   # of Qwen3-30B-A3B
    Benchmarks/make_model.py OUT --latent --fp8 --blocks 1 --hidden 7168 --intermediate 2048 --heads 128 --experts 32 --chosen 2   # of DeepSeek-V3, fewer experts

Without options: Llama-2-7B cut to 2 blocks. --intermediate is the width of an expert where there are any. One shard for each block, so that memory is
bounded by a block. OUT/ids.npy holds 2^17 ids. Needs torch, safetensors and numpy (those of Tests/Compatibility/requirements.txt do).
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
parser.add_argument("--head-dim", type=int, help="left out: hidden / heads")
parser.add_argument("--vocab", type=int, default=32000)
parser.add_argument("--experts", type=int, default=0)
parser.add_argument("--chosen", type=int, default=8)
parser.add_argument("--latent", action="store_true", help="latent attention of DeepSeek-V3's sizes")
parser.add_argument("--fp8", action="store_true")
arguments = parser.parse_args()

generator = torch.Generator().manual_seed(0)
hidden, intermediate = arguments.hidden, arguments.intermediate
arguments.head_dim = arguments.head_dim or hidden // arguments.heads
# Of DeepSeek-V3: ranks of queries and of keys and values; of a head what is not rotated, what is, and its value.
QUERY_RANK, KEY_VALUE_RANK, PLAIN, ROTATED, VALUE = 1536, 512, 128, 64, 128
head_columns, key_columns = arguments.head_dim * arguments.heads, arguments.head_dim * arguments.kv_heads


def linear(rows, columns):
    return (torch.randn(rows, columns, generator=generator) / columns**0.5).to(torch.bfloat16)


def attention():
    """Shapes of the linears, and sizes of the norms."""
    if arguments.latent:
        linears = {
            "q_a_proj": (QUERY_RANK, hidden), "kv_a_proj_with_mqa": (KEY_VALUE_RANK + ROTATED, hidden),
            "q_b_proj": (arguments.heads * (PLAIN + ROTATED), QUERY_RANK), "kv_b_proj": (arguments.heads * (PLAIN + VALUE), KEY_VALUE_RANK),
            "o_proj": (hidden, arguments.heads * VALUE),
        }
        return linears, {"q_a_layernorm": QUERY_RANK, "kv_a_layernorm": KEY_VALUE_RANK}
    linears = {
        "q_proj": (head_columns, hidden), "k_proj": (key_columns, hidden), "v_proj": (key_columns, hidden), "o_proj": (hidden, head_columns),
    }
    return linears, {"q_norm": arguments.head_dim, "k_norm": arguments.head_dim} if arguments.experts else {}


def block(index):
    name = f"model.layers.{index}."
    linears, norms = attention()
    shapes = {f"self_attn.{linear_name}": shape for linear_name, shape in linears.items()}
    norms = {f"self_attn.{norm}": size for norm, size in norms.items()} | {"input_layernorm": hidden, "post_attention_layernorm": hidden}
    shared = ["mlp.shared_experts"] if arguments.latent else []
    for module in [f"mlp.experts.{expert}" for expert in range(arguments.experts)] + shared or ["mlp"]:
        shapes |= {f"{module}.gate_proj": (intermediate, hidden), f"{module}.up_proj": (intermediate, hidden), f"{module}.down_proj": (hidden, intermediate)}
    tensors = {}
    for linear_name, shape in shapes.items():
        tensors |= stored(f"{name}{linear_name}.weight", linear(*shape))
    if arguments.experts:
        tensors[f"{name}mlp.gate.weight"] = linear(arguments.experts, hidden)
    if arguments.latent:
        tensors[f"{name}mlp.gate.e_score_correction_bias"] = torch.zeros(arguments.experts)
    return tensors | {f"{name}{norm}.weight": torch.ones(size, dtype=torch.bfloat16) for norm, size in norms.items()}


def stored(name, weight):
    """The tensors of a weight: itself, or FP8 numbers and the scales of their blocks."""
    if not arguments.fp8:
        return {name: weight}
    rows, columns = weight.shape
    padded = torch.zeros(-(-rows // 128) * 128, -(-columns // 128) * 128)
    padded[:rows, :columns] = weight
    blocks = padded.view(-1, 128, padded.shape[1] // 128, 128)
    scales = (blocks.abs().amax((1, 3)) / torch.finfo(torch.float8_e4m3fn).max).clamp(min=1e-12)
    numbers = (blocks / scales[:, None, :, None]).view(padded.shape)[:rows, :columns].to(torch.float8_e4m3fn)
    return {name: numbers.contiguous(), f"{name}_scale_inv": scales}


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
    size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
(arguments.out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=1))
family = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
if arguments.experts:
    family = {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts": arguments.experts, "num_experts_per_tok": arguments.chosen,
        "moe_intermediate_size": intermediate, "norm_topk_prob": True,
    }
if arguments.latent:
    family = {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "n_routed_experts": arguments.experts, "n_shared_experts": 1,
        "num_experts_per_tok": arguments.chosen, "moe_intermediate_size": intermediate, "first_k_dense_replace": 0, "moe_layer_freq": 1, "n_group": 1,
        "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
        "q_lora_rank": QUERY_RANK, "kv_lora_rank": KEY_VALUE_RANK, "qk_nope_head_dim": PLAIN, "qk_rope_head_dim": ROTATED, "v_head_dim": VALUE,
    }
    arguments.kv_heads, arguments.head_dim = arguments.heads, ROTATED  # what config.json of this family calls so
if arguments.fp8:
    family["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
(arguments.out / "config.json").write_text(json.dumps(family | {
    "hidden_size": hidden, "intermediate_size": intermediate,
    "num_hidden_layers": arguments.blocks, "num_attention_heads": arguments.heads, "num_key_value_heads": arguments.kv_heads,
    "head_dim": arguments.head_dim,
    "vocab_size": arguments.vocab, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}, indent=1))
numpy.save(arguments.out / "ids.npy", numpy.random.default_rng(0).integers(0, arguments.vocab, 1 << 17, dtype=numpy.int32))
print(f"{arguments.out}: {size / 1e9:.1f} GB in {count} shards")
