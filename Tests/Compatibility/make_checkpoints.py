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
import zlib

import numpy
import torch
import transformers
from safetensors.torch import load_file, save_file

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
          "rope_theta": 10000.0}
DYNAMIC = {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40, "rope_theta": 10000.0, "mscale": 1.0, "mscale_all_dim": 1.0}
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}

# The sequences are longer than a block of query rows, so that windows and blocks cross.
SEQUENCE_LENGTHS = [150, 70]


def variants(hidden, blocks, vocabulary, positions):
    """(name, model_type, options of its configuration) of each variant."""
    for some in (gated_variants, older_variants, mixture_variants, latent_variants):
        yield from some(hidden, blocks, vocabulary, positions)


def gated_variants(hidden, blocks, vocabulary, positions):
    """Dense models like Llama."""
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
    yield "llama-rope-dynamic", "llama", llama | dict(rope_parameters=DYNAMIC, max_position_embeddings=100)
    grouped = llama | dict(num_key_value_heads=2)
    frequencies = hidden // 4 * 3 // 4 // 2
    yield "phi3", "phi3", grouped | dict(original_max_position_embeddings=100, partial_rotary_factor=0.75, sliding_window=60, rope_parameters=dict(
        rope_type="longrope", short_factor=[1.0 + 0.5 * i for i in range(frequencies)], long_factor=[1.0 + 3.0 * i for i in range(frequencies)]))
    yield "phi3-plain", "phi3", llama | dict(tie_word_embeddings=True)
    yield "gemma2", "gemma2", grouped | dict(head_dim=8, query_pre_attn_scalar=20, sliding_window=30, attn_logit_softcapping=4.0, final_logit_softcapping=6.0)
    yield "gemma3", "gemma3_text", grouped | dict(
        head_dim=10, query_pre_attn_scalar=12, sliding_window=30, layer_types=["sliding_attention", "full_attention"] + ["sliding_attention"] * (blocks - 2),
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=1e4)))
    yield "granite", "granite", grouped | dict(
        embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.4, logits_scaling=0.5, attention_bias=True, tie_word_embeddings=True)
    yield "cohere", "cohere", llama | dict(logit_scale=0.7, tie_word_embeddings=True)
    yield "cohere-norms", "cohere", grouped | dict(logit_scale=0.7, use_qk_norm=True, attention_bias=True, tie_word_embeddings=False)
    yield "cohere2", "cohere2", grouped | dict(
        logit_scale=0.7, sliding_window=30, layer_types=["sliding_attention", "full_attention"] + ["sliding_attention"] * (blocks - 2))
    linear = dict(head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=6, linear_value_head_dim=5, full_attention_interval=2)
    yield "qwen3_5", "qwen3_5_text", grouped | linear | dict(linear_num_value_heads=2, tie_word_embeddings=True)


def older_variants(hidden, blocks, vocabulary, positions):
    """Dense models of earlier years."""
    llama = dict(hidden_size=hidden, intermediate_size=hidden * 3 // 2, num_hidden_layers=blocks, num_attention_heads=4,
                 vocab_size=vocabulary, max_position_embeddings=positions)
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
    falcon = dict(hidden_size=hidden, num_hidden_layers=blocks, num_attention_heads=4, vocab_size=vocabulary, ffn_hidden_size=hidden * 2)
    yield "falcon", "falcon", falcon
    yield "falcon-groups", "falcon", falcon | dict(new_decoder_architecture=True, num_kv_heads=2, bias=True, tie_word_embeddings=False)
    yield "falcon-alibi", "falcon", falcon | dict(
        alibi=True, multi_query=False, parallel_attn=False, bias=True, num_attention_heads=6 if hidden % 6 == 0 else 4)
    yield "gptj", "gptj", dict(n_embd=hidden, n_inner=hidden * 2, n_layer=blocks, n_head=3 if hidden % 3 == 0 else 4, vocab_size=vocabulary,
                               n_positions=positions, rotary_dim=4)
    yield "bloom", "bloom", dict(hidden_size=hidden, n_layer=blocks, n_head=6 if hidden % 6 == 0 else 4, vocab_size=vocabulary)


def mixture_variants(hidden, blocks, vocabulary, positions):
    """Mixtures of experts with attention of groups, or linear attention."""
    llama = dict(hidden_size=hidden, intermediate_size=hidden * 3 // 2, num_hidden_layers=blocks, num_attention_heads=4,
                 vocab_size=vocabulary, max_position_embeddings=positions)
    mixture = llama | dict(num_key_value_heads=2, num_experts_per_tok=3, num_experts=7, intermediate_size=hidden // 2)
    yield "mixtral", "mixtral", mixture | dict(num_experts_per_tok=2, sliding_window=40, head_dim=8)
    qwen = mixture | dict(moe_intermediate_size=hidden // 12 * 4, intermediate_size=hidden * 2)
    yield "qwen2-moe", "qwen2_moe", qwen | dict(shared_expert_intermediate_size=hidden + 4)
    yield "qwen2-moe-some-blocks", "qwen2_moe", qwen | dict(
        shared_expert_intermediate_size=hidden, decoder_sparse_step=2, norm_topk_prob=True, qkv_bias=False, use_sliding_window=True, sliding_window=30)
    yield "qwen3-moe", "qwen3_moe", qwen | dict(norm_topk_prob=True, head_dim=10)
    yield "qwen3-moe-some-blocks", "qwen3_moe", qwen | dict(mlp_only_layers=[0], tie_word_embeddings=True, attention_bias=True, use_sliding_window=True,
                                                            sliding_window=50)
    yield "olmoe", "olmoe", mixture | dict(norm_topk_prob=True)
    yield "olmoe-clipped", "olmoe", mixture | dict(clip_qkv=1.25, attention_bias=True, tie_word_embeddings=True)
    yield "minimax-m2", "minimax_m2", mixture | dict(num_local_experts=7, head_dim=8, rotary_dim=4)
    linear = qwen | dict(num_hidden_layers=blocks + 1, shared_expert_intermediate_size=hidden, head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4,
                         linear_key_head_dim=6, linear_value_head_dim=5, full_attention_interval=2, rms_norm_eps=1e-5)
    yield "qwen3-next", "qwen3_next", linear
    yield "qwen3-next-dense", "qwen3_next", linear | dict(mlp_only_layers=[1], linear_num_value_heads=2, linear_conv_kernel_dim=3, attention_bias=True,
                                                          norm_topk_prob=False, tie_word_embeddings=True)
    grouped = llama | dict(num_key_value_heads=2)
    experts = grouped | dict(num_local_experts=5, num_experts_per_tok=2, head_dim=8)
    yield "gpt-oss", "gpt_oss", experts | dict(sliding_window=30, swiglu_limit=1.0, intermediate_size=hidden // 12 * 4)
    yield "llama4", "llama4_text", experts | dict(
        num_experts_per_tok=1, intermediate_size=hidden // 12 * 4, intermediate_size_mlp=hidden, interleave_moe_layer_step=2, no_rope_layer_interval=2)
    yield "llama4-two", "llama4_text", experts | dict(
        intermediate_size=hidden // 12 * 4, intermediate_size_mlp=hidden, use_qk_norm=False, attn_temperature_tuning=False, attention_bias=True,
        no_rope_layers=[1] * blocks)
    linear = dict(head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=6, linear_value_head_dim=5, full_attention_interval=2)
    yield "qwen3_5-moe", "qwen3_5_moe_text", grouped | linear | dict(
        num_experts=6, num_experts_per_tok=3, moe_intermediate_size=hidden // 12 * 4, shared_expert_intermediate_size=hidden)


def latent_variants(hidden, blocks, vocabulary, positions):
    """DeepSeek, and what has its experts."""
    latent = dict(hidden_size=hidden, num_hidden_layers=blocks, num_attention_heads=4, num_key_value_heads=4, vocab_size=vocabulary,
                  max_position_embeddings=positions, n_routed_experts=8, num_experts_per_tok=3, n_group=4, topk_group=2,
                  moe_intermediate_size=hidden // 12 * 4, intermediate_size=hidden * 2, first_k_dense_replace=1, kv_lora_rank=hidden // 4,
                  q_lora_rank=hidden // 2, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5)
    yield "deepseek-v3", "deepseek_v3", latent
    yield "deepseek-v3-whole-queries", "deepseek_v3", latent | dict(
        q_lora_rank=None, attention_bias=True, n_group=1, topk_group=1, norm_topk_prob=False, rope_interleave=False, rms_norm_eps=1e-3, rope_parameters=YARN,
        n_shared_experts=2)
    yield "deepseek-v2", "deepseek_v2", latent | dict(
        topk_method="group_limited_greedy", routed_scaling_factor=16.0, rope_parameters=YARN | dict(mscale=0.707, mscale_all_dim=0.707))
    yield "deepseek-v2-lite", "deepseek_v2", latent | dict(q_lora_rank=None, tie_word_embeddings=True)
    yield "deepseek-v32", "deepseek_v32", latent | dict(index_head_dim=8, index_n_heads=2, index_topk=160, rope_parameters=YARN)
    yield "glm-moe-dsa", "glm_moe_dsa", latent | dict(n_group=1, topk_group=1, index_head_dim=8, index_n_heads=2, index_topk=160, rms_norm_eps=1e-5)
    yield "glm4-moe-lite", "glm4_moe_lite", {key: value for key, value in latent.items() if key != "first_k_dense_replace"}
    glm = latent | dict(num_key_value_heads=2, n_group=1, topk_group=1, head_dim=8)
    yield "glm4-moe", "glm4_moe", glm | dict(use_qk_norm=True, attention_bias=True)
    yield "glm4-moe-air", "glm4_moe", glm | dict(n_shared_experts=2, n_group=2, routed_scaling_factor=2.5)


def make_model(model_type, options, seed):
    """A random model whose logits spread over several units, so that a wrong one cannot look right."""
    torch.manual_seed(seed)
    configuration = transformers.AutoConfig.for_model(model_type, **options)
    configuration.bos_token_id = configuration.eos_token_id = configuration.pad_token_id = None
    return randomise(transformers.AutoModelForCausalLM.from_config(configuration, attn_implementation=attention_of(model_type)))


def attention_of(model_type):
    """The implementation of attention to compare with: without another, Falcon adds its biases twice."""
    return "sdpa" if model_type == "falcon" else "eager"


def randomise(model):
    """Gives a model weights with which its logits spread over several units."""
    model = model.eval().float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_" in name:
                # Some families store the difference to 1.
                zero_centred = model.config.model_type.startswith(("gemma", "qwen3_next", "qwen3_5")) and not name.endswith("linear_attn.norm.weight")
                centre = 0.0 if zero_centred or name.endswith("bias") else 1.0
                parameter.normal_(centre, 0.2)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.3)
            elif any(part in name for part in ("embed_tokens", "embed_in", "word_embeddings", "wte")):
                parameter.normal_(0.0, 1.0)
            elif any(part in name for part in ("wpe", "embed_positions")):
                parameter.normal_(0.0, 0.5)
            else:
                # Conv1D stores [inputs, outputs]; experts are one tensor [experts, outputs, inputs].
                inputs = parameter.shape[0] if ".c_" in name else parameter.shape[-1]
                parameter.normal_(0.0, 1.5 / inputs**0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(0.0, 0.1)
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
    for name, model_type, options in variants(**extents):
        # A variant keeps its numbers, whatever comes before it.
        seed = zlib.crc32(name.encode())
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
