#!/usr/bin/env python3
"""Random configurations of every family against transformers: both compute the same, or Cleave refuses a key by its name.

    random_configurations.py [--count N] [--seed S] [--family F] [--keep DIRECTORY]

Each case is a config.json with random settings of all keys that matter or might, in old and new spellings, and a file whose tensors have the family's
names, or go without its prefix, or have it twice, or lack the embedding or keep another head. transformers loads the folder and says what the model
computes. Where transformers cannot build the model, load all of it or run it, Cleave must refuse it, too (exit code 65).
"""
import argparse
import json
import math
import pathlib
import random
import re
import shutil
import subprocess
import tempfile

import numpy
import torch
import transformers
from safetensors.torch import save_file

import cleave
import make_checkpoints

LENGTH, WINDOWS, VOCABULARY = 48, 4, 64
HIDDEN, BLOCKS = 32, 3
ABSENT = object()
ACTIVATIONS = ["silu", "gelu", "relu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "swish", "gelu_python"]
OTHER_ACTIVATIONS = ["quick_gelu", "relu2", "tanh"]


class Generator:
    def __init__(self, seed, wrong=0.05):
        self.random = random.Random(seed)
        self.wrong = wrong

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return self.random.choice(choices)

    def usually(self, value, *others):
        """Nearly always the first."""
        return self.pick(*others) if self.chance(self.wrong) else value

    def flag(self):
        return self.usually(self.pick(ABSENT, True, False), None)

    def activation(self):
        return self.usually(self.pick(ABSENT, *ACTIVATIONS), *OTHER_ACTIVATIONS, None)

    def rope(self, frequencies):
        """An object of the parameters of rotary position embedding."""
        kind = self.usually(self.pick("default", "linear", "llama3", "yarn", "dynamic", "longrope", ABSENT), "proportional", None)
        found = {self.pick("rope_type", "rope_type", "type"): kind} if kind is not ABSENT else {}
        if self.chance(0.5):
            found["rope_theta"] = self.usually(self.pick(100.0, 5000.0, 10000.0), None)
        if self.chance(0.2):
            found["partial_rotary_factor"] = self.usually(self.pick(0.5, 1.0, 0.75), None)
        if kind not in ("default", ABSENT) and self.chance(0.95):
            found["factor"] = self.usually(self.pick(2.0, 3.5, 8), None)
        if kind == "llama3":
            found |= dict(low_freq_factor=self.pick(1.0, 2.0), high_freq_factor=self.pick(4.0, 8.0))
        if kind == "yarn":
            for key, values in dict(beta_fast=(32.0, 8.0, None), beta_slow=(1.0, 2.0, 0.0), attention_factor=(0.5, None), mscale=(1.0, 0.7),
                                    mscale_all_dim=(1.0, 0.5, 0.0), truncate=(True, False)).items():
                if self.chance(0.3):
                    found[key] = self.pick(*values)
        if kind == "longrope":
            for key in ("short_factor", "long_factor"):
                count = self.usually(frequencies, frequencies + 1)
                found[key] = self.usually([self.pick(1.0, 1.5, 3, 7.25) for _ in range(count)], ABSENT, None)
            found |= dict(attention_factor=self.pick(ABSENT, None, 0.75, 2), factor=self.pick(found.get("factor", ABSENT), ABSENT))
        if self.chance(0.5):
            found["original_max_position_embeddings"] = self.usually(self.pick(8, 16, 32, 48), None)
        return {key: value for key, value in found.items() if value is not ABSENT}

    def rotation(self, frequencies=4):
        """All keys of rotation of so many frequencies."""
        found = {}
        for key in ("rope_scaling", "rope_parameters"):
            if self.chance(0.45):
                found[key] = self.usually(self.rope(frequencies), {}, None)
        if self.chance(0.4):
            found["rope_theta"] = self.usually(self.pick(300.0, 10000.0, 20000.0), None)
        if self.chance(0.15):
            found["partial_rotary_factor"] = self.pick(0.5, 1.0, None)
        if self.chance(0.15):
            found["original_max_position_embeddings"] = self.usually(self.pick(8, 16), None)
        return found

    def gated(self):
        """What Llama, Mistral and Qwen share, and keys of each in the others."""
        heads, size = self.usually(4, 2, 3, 8), self.pick(ABSENT, ABSENT, self.usually(self.pick(8, 12, 10), None, 7))
        return dict(
            hidden_size=HIDDEN, intermediate_size=40, num_hidden_layers=BLOCKS, num_attention_heads=heads, vocab_size=VOCABULARY,
            max_position_embeddings=self.pick(64, 32), num_key_value_heads=self.usually(self.pick(2, 1, 4), ABSENT, None, 3),
            head_dim=size, hidden_act=self.activation(),
            rms_norm_eps=self.usually(self.pick(ABSENT, 1e-6, 0.1, 0.5), None), attention_bias=self.flag(), mlp_bias=self.flag(),
            tie_word_embeddings=self.flag(), pretraining_tp=self.pick(ABSENT, 1, 2)) | self.rotation((size if isinstance(size, int) else HIDDEN // heads) // 2)

    def windows(self):
        types = [self.pick("full_attention", "sliding_attention", "attention") for _ in range(self.usually(BLOCKS, BLOCKS - 1))]
        return dict(
            sliding_window=self.pick(ABSENT, None, 5, 17, 200), use_sliding_window=self.pick(ABSENT, True, True, False),
            max_window_layers=self.pick(ABSENT, 0, 1, 2), layer_types=self.pick(ABSENT, ABSENT, self.usually(types, types[:-1] + ["chunked_attention"])))

    def common(self):
        """Keys that any config.json may have."""
        return dict(
            is_causal=self.usually(ABSENT, True, False, None), per_layer_config=self.usually(ABSENT, {"1": {"intermediate_size": 24}}, None),
            logits_scaling=self.usually(ABSENT, 8.0), embedding_multiplier=self.usually(ABSENT, 12.0), use_cache=self.pick(ABSENT, True, False))

    def llama(self):
        return self.gated() | (self.windows() if self.chance(0.2) else {})

    def mistral(self):
        return self.gated() | self.windows()

    qwen2 = qwen3 = mistral

    def experts(self, own, other):
        """What families with mixtures of experts share; the number of experts under the family's name, another's, or both."""
        count = self.pick(4, 6, 7)
        spelling = self.pick("own", "own", "other", "both")
        found = {own: count} if spelling != "other" else {}
        if spelling != "own":
            found[other] = self.usually(count, count + 1) if spelling == "both" else count
        return found | dict(
            num_experts_per_tok=self.usually(self.pick(1, 2, 3, 4), 9, None), output_router_logits=self.flag(),
            router_aux_loss_coef=self.pick(ABSENT, 0.01), router_jitter_noise=self.pick(ABSENT, 0.0, 0.1))

    def mixtral(self):
        return self.gated() | self.windows() | self.experts("num_local_experts", "num_experts") | dict(intermediate_size=self.pick(24, 40))

    def qwen_experts(self):
        """What both mixtures of Qwen share: blocks with experts, and dense ones between them."""
        dense = self.pick(ABSENT, ABSENT, [], [0], [1, 2], self.usually([2], None, [0, 1, 2], [5]))
        return self.gated() | self.windows() | self.experts("num_experts", "num_local_experts") | dict(
            moe_intermediate_size=self.pick(12, 24), norm_topk_prob=self.flag(), mlp_only_layers=dense,
            decoder_sparse_step=self.pick(ABSENT, 1, self.usually(self.pick(2, 3), 0, None)))

    def qwen2_moe(self):
        return self.qwen_experts() | dict(
            shared_expert_intermediate_size=self.usually(self.pick(20, 32, 48), ABSENT, 0, None), qkv_bias=self.flag())

    def qwen3_moe(self):
        return self.qwen_experts()

    def olmoe(self):
        found = self.gated() | self.experts("num_experts", "num_local_experts") | dict(
            intermediate_size=self.pick(16, 24), norm_topk_prob=self.flag(),
            clip_qkv=self.pick(ABSENT, None, self.usually(self.pick(0.5, 1.0, 2.5), 1, 0.0, -1.0)))
        return found | (self.windows() if self.chance(0.2) else {})

    def phi3(self):
        found = self.gated() | (self.windows() if self.chance(0.3) else {}) | dict(sliding_window=self.pick(ABSENT, None, 5, 17, 200))
        size = HIDDEN // found["num_attention_heads"]
        share = self.pick(1.0, 1.0, 0.5, 0.75)
        rope = dict(type=self.usually(self.pick("longrope", "longrope", "su", "yarn", "default"), "linear", "llama3", None))
        if self.chance(0.5):
            rope["rope_type"] = rope.pop("type")
        frequencies = int(size * share) // 2
        for key in ("short_factor", "long_factor"):
            count = frequencies if "default" in rope.values() else self.usually(frequencies, 3)
            rope[key] = [self.pick(1.0, 1.5, 3, 7.25) for _ in range(count)]
        rope |= dict(attention_factor=self.pick(ABSENT, ABSENT, 0.75), factor=self.pick(ABSENT, ABSENT, 4.0),
                     original_max_position_embeddings=self.pick(ABSENT, 16), rope_theta=self.pick(ABSENT, 5000.0))
        found |= dict(rope_scaling=ABSENT, rope_parameters=ABSENT, partial_rotary_factor=self.pick(share, ABSENT) if share == 1.0 else share,
                      original_max_position_embeddings=self.pick(ABSENT, self.usually(self.pick(8, 32, 64), None)), resid_pdrop=self.pick(ABSENT, 0.1))
        if self.chance(0.7):
            found[self.pick("rope_scaling", "rope_parameters")] = self.usually({key: value for key, value in rope.items() if value is not ABSENT}, {}, None)
        return found

    def patterned(self):
        """Windows in blocks by a pattern or a list."""
        return self.windows() | dict(sliding_window=self.usually(self.pick(ABSENT, 5, 17, 200), None),
                                     sliding_window_pattern=self.pick(ABSENT, self.usually(self.pick(1, 2, 3), 0, None)))

    def granite(self):
        factors = dict(embedding_multiplier=(12.0, 3), attention_multiplier=(0.25, 0.015625, 1), residual_multiplier=(0.22, 1), logits_scaling=(8.0, 2))
        return self.gated() | {key: self.usually(self.pick(ABSENT, *values), None, 0.0) for key, values in factors.items()}

    def cohere(self):
        return self.gated() | dict(
            layer_norm_eps=self.usually(self.pick(ABSENT, 1e-5, 0.3), None), logit_scale=self.usually(self.pick(ABSENT, 0.5, 2.0), None),
            use_qk_norm=self.flag())

    def cohere2(self):
        return self.cohere() | self.patterned()

    def gemma(self):
        """What both versions of Gemma share."""
        found = self.gated() | self.patterned()
        softcap = lambda: self.pick(ABSENT, None, self.usually(self.pick(3.0, 20.0, 5.0), 0.0))
        return found | dict(
            hidden_activation=found.pop("hidden_act"), hidden_act=self.pick(ABSENT, "gelu"),
            query_pre_attn_scalar=self.usually(self.pick(ABSENT, 8, 24), None),
            attn_logit_softcapping=softcap(), final_logit_softcapping=softcap(), use_bidirectional_attention=self.usually(self.pick(ABSENT, None, False), True),
            head_dim=self.usually(self.pick(8, 12, 10), ABSENT, None, 7), cache_implementation=self.pick(ABSENT, "hybrid"))

    def gemma2(self):
        found = self.gemma()
        return found | self.rotation(found["head_dim"] // 2 if isinstance(found["head_dim"], int) else 128)

    def gemma3_text(self):
        found = self.gemma()
        if isinstance(found["layer_types"], list):
            # Under its older name transformers does not find the parameters of its rotation.
            found["layer_types"] = [kind.replace("attention", "full_attention") if kind == "attention" else kind for kind in found["layer_types"]]
        frequencies = found["head_dim"] // 2 if isinstance(found["head_dim"], int) else 128
        found |= dict(
            rope_scaling=ABSENT, rope_parameters=ABSENT, original_max_position_embeddings=self.pick(ABSENT, ABSENT, 16),
            attn_logit_softcapping=self.usually(self.pick(ABSENT, None), 5.0))
        kinds = {key: self.usually(self.rope(frequencies), None, {}) for key in ("full_attention", "sliding_attention") if self.chance(0.85)}
        if self.chance(0.5):
            found["rope_parameters"] = self.usually(kinds, {}, None)
        elif self.chance(0.6):
            found["rope_scaling"] = self.usually(self.rope(frequencies), None)
        return found | dict(
            rope_theta=self.pick(ABSENT, self.usually(300.0, None)), rope_local_base_freq=self.pick(ABSENT, self.usually(200.0, None)))

    def falcon(self):
        newer = self.chance(0.5)
        return dict(
            hidden_size=self.usually(HIDDEN, 16), num_hidden_layers=BLOCKS, num_attention_heads=self.usually(4, 2, 3, 8), vocab_size=VOCABULARY,
            layer_norm_epsilon=self.usually(self.pick(ABSENT, 1e-5, 0.3), None), num_kv_heads=self.pick(ABSENT, None, self.usually(2, 3, 4)),
            new_decoder_architecture=newer, num_ln_in_parallel_attn=self.pick(ABSENT, None, 1, self.usually(2 if newer else 1, 0, 2)), alibi=self.flag(),
            multi_query=self.flag(), parallel_attn=self.usually(self.pick(ABSENT, True) if newer else self.flag(), False), bias=self.flag(),
            ffn_hidden_size=self.pick(ABSENT, None, 40), activation=self.activation(), tie_word_embeddings=self.flag(), n_embed=self.usually(ABSENT, None, 16),
            max_position_embeddings=self.pick(ABSENT, 64, 32), head_dim=self.usually(ABSENT, 8)) | self.rotation()

    def gptj(self):
        return dict(
            n_embd=HIDDEN, n_layer=BLOCKS, n_head=self.usually(4, 2, 5), n_positions=self.usually(64, 48, 40), vocab_size=VOCABULARY,
            n_inner=self.pick(ABSENT, None, 40), activation_function=self.activation(), layer_norm_epsilon=self.usually(self.pick(ABSENT, 1e-5, 0.3), None),
            rotary_dim=self.usually(self.pick(8, 4, 6), ABSENT, None, 5, 0, 12), tie_word_embeddings=self.flag(), resid_pdrop=self.pick(ABSENT, 0.1))

    def bloom(self):
        return dict(
            hidden_size=HIDDEN, n_layer=BLOCKS, n_head=self.usually(4, 8, 5), vocab_size=VOCABULARY, n_embed=self.usually(ABSENT, None, 16),
            layer_norm_epsilon=self.usually(self.pick(ABSENT, 1e-5, 0.3), None), tie_word_embeddings=self.flag(),
            apply_residual_connection_post_layernorm=self.usually(self.pick(ABSENT, False), True, None), pretraining_tp=self.pick(ABSENT, 1, 2),
            slow_but_exact=self.pick(ABSENT, True, False), seq_length=self.pick(ABSENT, 2048))

    def routed(self, other="num_local_experts"):
        """What DeepSeek and its like say of their experts, and of training, beside keys that only the code of their makers reads."""
        found = self.experts("n_routed_experts", other)
        count = found.get("n_routed_experts", found.get(other))
        groups = self.usually(self.pick(*[divisor for divisor in (1, 1, 2, 3, 4) if count % divisor == 0 and count // divisor > 1]), 4, 0, None)
        return found | dict(
            moe_intermediate_size=self.pick(12, 24), norm_topk_prob=self.flag(), routed_scaling_factor=self.usually(self.pick(ABSENT, 1.0, 2.5, 16.0), None),
            n_shared_experts=self.usually(self.pick(ABSENT, 1, 2), 0, None), n_group=groups, topk_group=self.usually(self.pick(1, 1, 2), ABSENT, None, 5),
            first_k_dense_replace=self.usually(self.pick(ABSENT, 0, 1, 2), 3, 5, None), moe_layer_freq=self.usually(self.pick(ABSENT, 1), 2, None),
            scoring_func=self.usually(self.pick(ABSENT, "sigmoid"), "softmax", None),
            topk_method=self.usually(self.pick(ABSENT, "noaux_tc"), "greedy", "group_limited_greedy", None), num_nextn_predict_layers=self.pick(ABSENT, 0, 1),
            aux_loss_alpha=self.pick(ABSENT, 0.001), seq_aux=self.pick(ABSENT, True), ep_size=self.pick(ABSENT, 1))

    def latent(self):
        """What the families with latent attention share."""
        heads = self.usually(4, 2, 3, 8)
        return dict(
            hidden_size=HIDDEN, intermediate_size=40, num_hidden_layers=BLOCKS, num_attention_heads=heads, vocab_size=VOCABULARY,
            max_position_embeddings=self.pick(64, 32), num_key_value_heads=self.usually(heads, ABSENT, None, 1, 3, 12),
            q_lora_rank=self.usually(self.pick(16, 12, None), ABSENT, 0), kv_lora_rank=self.usually(self.pick(8, 20), ABSENT, None),
            qk_nope_head_dim=self.usually(self.pick(6, 8), ABSENT, None), qk_rope_head_dim=self.usually(self.pick(4, 8), ABSENT, None, 5),
            v_head_dim=self.usually(self.pick(5, 8), ABSENT, None), rope_interleave=self.flag(), head_dim=self.usually(ABSENT, None, 4, 16),
            hidden_act=self.activation(), rms_norm_eps=self.usually(self.pick(ABSENT, 1e-6, 0.1, 0.5), None), attention_bias=self.flag(),
            tie_word_embeddings=self.flag(), pretraining_tp=self.pick(ABSENT, 1, 2), layer_types=self.usually(ABSENT, None, self.types())) | self.rotation()

    def types(self):
        return [self.pick("full_attention", "sliding_attention", "indexed_attention") for _ in range(self.usually(BLOCKS, BLOCKS - 1))]

    def feed_forward_types(self):
        types = [self.pick("dense", "sparse") for _ in range(self.usually(BLOCKS, BLOCKS - 1))]
        return dict(mlp_layer_types=self.pick(ABSENT, ABSENT, self.usually(types, None, types[:-1] + ["moe"])))

    def deepseek_v2(self):
        return self.latent() | self.routed("num_experts") | dict(
            mlp_bias=self.usually(ABSENT, False, True), norm_topk_prob=self.usually(self.pick(ABSENT, False), True),
            scoring_func=self.usually(self.pick(ABSENT, "softmax"), "sigmoid", None),
            topk_method=self.usually(self.pick(ABSENT, "greedy", "group_limited_greedy"), "noaux_tc", None))

    def deepseek_v3(self):
        return self.latent() | self.routed()

    kimi_k2 = deepseek_v3

    def indexed(self):
        """What the families with an indexer share: it chooses all of the few tokens here."""
        return self.latent() | self.routed(self.pick("num_local_experts", "num_experts")) | self.feed_forward_types() | dict(
            mlp_bias=self.usually(ABSENT, False, True), rope_interleave=self.usually(self.pick(ABSENT, True), False, None),
            q_lora_rank=self.usually(self.pick(16, 12), ABSENT, None), index_topk=self.usually(self.pick(ABSENT, LENGTH, 2048), 16, None),
            index_head_dim=self.pick(8, 12), index_n_heads=self.pick(1, 2), layer_types=self.usually(ABSENT, ["indexed_attention"] * BLOCKS, self.types()))

    def deepseek_v32(self):
        return self.indexed()

    def glm_moe_dsa(self):
        return self.indexed() | dict(
            indexer_types=self.pick(ABSENT, ABSENT, ["full", "shared", "full"]), index_topk_freq=self.pick(ABSENT, 1, 2),
            index_topk_pattern=self.pick(ABSENT, ABSENT, "FSS"), indexer_rope_interleave=self.pick(ABSENT, True))

    def glm4_moe(self):
        return self.gated() | self.routed() | dict(use_qk_norm=self.flag(), layer_types=self.usually(ABSENT, None, self.types()))

    def glm4_moe_lite(self):
        return self.latent() | self.routed() | self.feed_forward_types()

    def minimax_m2(self):
        return self.gated() | self.experts("num_local_experts", "num_experts") | dict(
            intermediate_size=self.pick(24, 40), rotary_dim=self.usually(self.pick(ABSENT, 4, 8, 6), None, 0, 5, 16), layer_types=self.usually(ABSENT, self.types()),
            scoring_func=self.usually(self.pick(ABSENT, "sigmoid"), "softmax"), use_qk_norm=self.usually(self.pick(ABSENT, True), False, None),
            use_routing_bias=self.usually(self.pick(ABSENT, True), False), qk_norm_type=self.usually(self.pick(ABSENT, "per_layer"), "per_head", None),
            attn_type_list=self.usually(self.pick(ABSENT, [1] * BLOCKS), [1, 0, 1], None), shared_intermediate_size=self.usually(self.pick(ABSENT, 0), 24, None),
            layernorm_full_attention_beta=self.usually(self.pick(ABSENT, 1.0), 2.0), layernorm_mlp_beta=self.usually(self.pick(ABSENT, 1.0), 0.5),
            layernorm_linear_attention_beta=self.pick(ABSENT, 1.0), num_mtp_modules=self.pick(ABSENT, 3), mtp_transformer_layers=self.pick(ABSENT, 1),
            use_mtp=self.pick(ABSENT, True))

    def delta(self):
        """What the families with linear attention share; linear attention is not computed with another activation."""
        types = [self.pick("linear_attention", "linear_attention", "full_attention") for _ in range(self.usually(BLOCKS, BLOCKS - 1))]
        return self.gated() | dict(
            hidden_act=self.usually(self.pick(ABSENT, "silu"), "gelu", None), head_dim=self.usually(self.pick(8, 12), ABSENT, None, 7),
            linear_num_key_heads=self.usually(2, 1), linear_num_value_heads=self.usually(self.pick(2, 4), 3), linear_key_head_dim=self.pick(6, 8),
            linear_value_head_dim=self.pick(5, 8), linear_conv_kernel_dim=self.usually(self.pick(ABSENT, 3, 2), 1),
            full_attention_interval=self.pick(ABSENT, self.usually(self.pick(1, 2, 3), 0)), layer_types=self.pick(ABSENT, self.usually(types, None)))

    def qwen3_next(self):
        return self.delta() | self.experts("num_experts", "num_local_experts") | dict(
            moe_intermediate_size=self.pick(12, 24), norm_topk_prob=self.flag(), shared_expert_intermediate_size=self.usually(self.pick(20, 32), ABSENT, None),
            mlp_only_layers=self.pick(ABSENT, ABSENT, [], [0], None), decoder_sparse_step=self.pick(ABSENT, 1, self.usually(2, 0, None)))

    def qwen3_5_text(self):
        return self.delta()

    def qwen3_5_moe_text(self):
        return self.delta() | self.experts("num_experts", "num_local_experts") | dict(
            moe_intermediate_size=self.pick(12, 24), shared_expert_intermediate_size=self.usually(self.pick(20, 32), ABSENT, None),
            norm_topk_prob=self.pick(ABSENT, True, False))

    def gpt_oss(self):
        types = [self.pick("full_attention", "sliding_attention") for _ in range(self.usually(BLOCKS, BLOCKS - 1))]
        return self.gated() | self.experts("num_local_experts", "num_experts") | dict(
            intermediate_size=self.pick(16, 24), head_dim=self.usually(self.pick(8, 12), ABSENT, None, 7), sliding_window=self.pick(ABSENT, None, 5, 17),
            layer_types=self.pick(ABSENT, self.usually(types, None)), swiglu_alpha=self.usually(self.pick(ABSENT, 1.0), None),
            swiglu_limit=self.usually(self.pick(ABSENT, 1.5), None, 0.0), hidden_act=self.pick(ABSENT, "silu"))

    def llama4_text(self):
        rotated = [self.pick(0, 1) for _ in range(self.usually(BLOCKS, BLOCKS - 1, BLOCKS + 1))]
        types = [self.pick("full_attention", "chunked_attention") for _ in range(self.usually(BLOCKS, BLOCKS - 1))]
        count = self.pick(4, 6)
        return self.gated() | dict(
            num_local_experts=count, num_experts_per_tok=self.usually(self.pick(1, 2), ABSENT, 9, None), output_router_logits=self.flag(),
            intermediate_size=self.pick(16, 24), intermediate_size_mlp=self.usually(40, None), head_dim=self.usually(self.pick(8, 12), ABSENT, None, 7),
            moe_layers=self.pick(ABSENT, None, [0, 2], [1]), interleave_moe_layer_step=self.pick(ABSENT, self.usually(self.pick(1, 2), 0, None)),
            use_qk_norm=self.flag(), no_rope_layers=self.pick(ABSENT, None, [], rotated), no_rope_layer_interval=self.pick(ABSENT, self.usually(2, 0, None)),
            attention_chunk_size=self.usually(self.pick(ABSENT, 64), None, 16), layer_types=self.pick(ABSENT, self.usually(types, None)),
            attn_temperature_tuning=self.flag(), floor_scale=self.usually(self.pick(ABSENT, 64), 16, None), attn_scale=self.usually(self.pick(ABSENT, 0.2), None))

    def gpt_neox(self):
        return dict(
            hidden_size=HIDDEN, intermediate_size=48, num_hidden_layers=BLOCKS, num_attention_heads=self.usually(2, 4, 3), vocab_size=VOCABULARY,
            max_position_embeddings=self.pick(64, 32), hidden_act=self.activation(), layer_norm_eps=self.usually(self.pick(ABSENT, 1e-5, 0.3), None),
            attention_bias=self.flag(), use_parallel_residual=self.flag(), tie_word_embeddings=self.flag(), is_decoder=self.pick(ABSENT, True, False),
            rotary_pct=self.pick(ABSENT, self.usually(self.pick(0.25, 0.5, 1.0, 0.35, 0.0), None, 1.5)),
            rotary_emb_base=self.pick(ABSENT, self.usually(self.pick(500, 10000.0), None)), head_dim=self.usually(ABSENT, None, 8, 16, 64)) | self.rotation()

    def gpt2(self):
        found = dict(
            n_embd=HIDDEN, n_layer=BLOCKS, n_head=self.usually(4, 2, 5), n_positions=self.usually(64, 40), vocab_size=VOCABULARY,
            n_inner=self.pick(ABSENT, None, 40), activation_function=self.activation(), layer_norm_epsilon=self.usually(self.pick(ABSENT, 1e-5, 0.3), None),
            scale_attn_weights=self.flag(), scale_attn_by_inverse_layer_idx=self.flag(), reorder_and_upcast_attn=self.flag(), tie_word_embeddings=self.flag(),
            add_cross_attention=self.usually(ABSENT, True, False), n_ctx=self.pick(ABSENT, 16))
        for key, own in dict(hidden_size="n_embd", num_attention_heads="n_head", num_hidden_layers="n_layer", max_position_embeddings="n_positions").items():
            if self.chance(0.15):
                # The name that configurations share wins over the family's.
                found[own], found[key] = self.pick(found[own], 16, ABSENT), found[own]
        return found

    def opt(self):
        return dict(
            hidden_size=HIDDEN, num_hidden_layers=BLOCKS, num_attention_heads=self.usually(4, 2, 5), ffn_dim=40, vocab_size=VOCABULARY,
            max_position_embeddings=self.usually(64, 40), activation_function=self.activation(), enable_bias=self.flag(), tie_word_embeddings=self.flag(),
            do_layer_norm_before=self.usually(self.pick(ABSENT, True), False), _remove_final_layer_norm=self.usually(self.pick(ABSENT, False), True),
            layer_norm_elementwise_affine=self.usually(self.pick(ABSENT, True), False), word_embed_proj_dim=self.pick(ABSENT, None, self.usually(HIDDEN, 16)),
            layerdrop=self.pick(ABSENT, 0.5), dropout=self.pick(ABSENT, 0.1))

    def configuration(self, family):
        found = getattr(self, family)() | self.common()
        # Without a padding token, whose place the tiny vocabulary may lack.
        return {"model_type": family, "pad_token_id": None} | {key: value for key, value in found.items() if value is not ABSENT}

    def named(self, tensors, model):
        """The tensors under the names of a checkpoint: as transformers would save them, or otherwise."""
        prefix = model.base_model_prefix + "."
        head = next(name for name in ("lm_head.weight", "embed_out.weight") if name in tensors)
        embedding = next(name for name in tensors if re.search(r"(embed_tokens|embed_in|word_embeddings|wte)\.weight$", name))
        if model.config.tie_word_embeddings:
            # Alone, twice the same, alone as the head, or with another head.
            kind = self.usually("embedding", "both", "head", "other")
            if kind == "other":
                tensors[head] = tensors[head] * 1.25
            if kind in ("embedding", "head"):
                tensors.pop(head if kind == "embedding" else embedding)
        if model.config.model_type == "gpt_neox" and self.chance(0.7):
            tensors = {name.replace("lm_head", "embed_out"): value for name, value in tensors.items()}
        spelling = self.usually("plain", "stripped", "twice")
        if spelling == "stripped":
            return {name.removeprefix(prefix): value for name, value in tensors.items()}
        return {prefix + name: value for name, value in tensors.items()} if spelling == "twice" else tensors


LATENT = ["deepseek_v2", "deepseek_v3", "kimi_k2", "deepseek_v32", "glm_moe_dsa", "glm4_moe_lite"]
DELTA = ["qwen3_next", "qwen3_5_moe_text"]
MIXTURES = ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", *LATENT, "glm4_moe", "minimax_m2", *DELTA, "gpt_oss", "llama4_text"]
FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gpt2", "opt", "gpt_neox", "phi3", "gemma2", "gemma3_text", "granite", "cohere", "cohere2", "falcon", "gptj",
            "bloom", "qwen3_5_text", *MIXTURES]
# transformers has no name of its own for models whose published code is another's.
KNOWN_AS = {"kimi_k2": "deepseek_v3"}


def name(folder, configuration, model_type):
    """Writes config.json with this model_type."""
    (folder / "config.json").write_text(json.dumps(configuration | {"model_type": model_type}, indent=1))


def write(folder, family, seed):
    """A case: config.json and, where transformers can build the model, its tensors."""
    # Families with more keys have fewer wrong values of each, so that enough cases run.
    generator = Generator(f"{family} {seed}", wrong=0.015 if family in [*LATENT, *DELTA, "qwen3_5_text", "glm4_moe", "minimax_m2", "gpt_oss", "llama4_text"] else 0.05)
    configuration = generator.configuration(family)
    name(folder, configuration, KNOWN_AS.get(family, family))
    torch.manual_seed(seed)
    try:
        model = make_checkpoints.randomise(
            transformers.AutoModelForCausalLM.from_config(
                transformers.AutoConfig.from_pretrained(folder), attn_implementation=make_checkpoints.attention_of(family)))
    except Exception:
        return configuration
    tensors = model.state_dict()
    if family in MIXTURES:
        # In memory all experts of a block are one tensor, in files each is on its own.
        tensors = transformers.core_model_loading.revert_weight_conversion(model, tensors)
    tensors = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(generator.named(tensors, model), folder / "model.safetensors", metadata={"format": "pt"})
    return configuration


@torch.no_grad()
def reference(folder, family, ids):
    """transformers' mean negative log-likelihood, or why there is none."""
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=make_checkpoints.attention_of(family), output_loading_info=True)
        if info["missing_keys"] or info["mismatched_keys"]:
            return None, f"missing {sorted(info['missing_keys'])[:3]}"
        # A loss of training, which fails where no block has experts.
        model.config.output_router_logits = False
        losses = []
        for window in torch.from_numpy(ids).long().reshape(WINDOWS, LENGTH):
            logits = model.eval()(window[None], use_cache=False).logits[0, :-1].double()
            losses.append(torch.nn.functional.cross_entropy(logits, window[1:]).item())
        return sum(losses) / len(losses), None
    except Exception as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def examine(folder, family, seed, ids_file, ids):
    """(verdict, what was wrong or refused): `same`, `refused` and `both refuse` are as they should be."""
    configuration = write(folder, family, seed)
    theirs, reason = reference(folder, family, ids)
    name(folder, configuration, family)
    done = subprocess.run(
        [cleave.BINARY, "eval", folder, "--data", ids_file, "--length", str(LENGTH), "--json"], capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 65):
        return "fails", f"exit code {done.returncode}: {done.stderr[-300:]} (transformers: {reason or theirs})"
    if done.returncode == 65:
        message = done.stderr.strip().splitlines()[-1]
        if theirs is None:
            return "both refuse", f"{message} (transformers: {reason})"
        named = re.search(r'"([\w.]+)" is|`([\w.]+)` of config.json is', message)
        keys = named and (named[1] or named[2]).split(".")
        # A refusal names a key of this config.json, or one whose default it refuses.
        return ("refused", message) if keys and keys[0] in configuration else ("refuses without a key", f"{message} (transformers: {theirs})")
    ours = math.log(json.loads(done.stdout)["perplexity"])
    if theirs is None:
        return "runs alone", f"{ours} (transformers: {reason})"
    if math.isnan(theirs) or abs(ours - theirs) > 5e-5 * max(1, abs(theirs)):
        return "differs", f"{ours} instead of {theirs}"
    return "same", None


GOOD = {"same", "refused", "both refuse"}


def run(families, seeds, keep=None, tell=None):
    """(family, seed) to verdict and reason, for all cases; each is told as it is known."""
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    found = {}
    ids = numpy.random.default_rng(0).integers(0, VOCABULARY, WINDOWS * LENGTH, dtype=numpy.int32)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        numpy.save(scratch / "ids.npy", ids)
        for family in families:
            for seed in seeds:
                folder = scratch / f"{family}-{seed}"
                folder.mkdir()
                verdict = examine(folder, family, seed, scratch / "ids.npy", ids)
                if keep and verdict[0] not in GOOD:
                    shutil.copytree(folder, keep / folder.name, dirs_exist_ok=True)
                shutil.rmtree(folder)
                found[family, seed] = verdict
                if tell:
                    tell(family, seed, *verdict)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="cases of each family")
    parser.add_argument("--seed", type=int, default=0, help="the first case's")
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--keep", type=pathlib.Path, help="keeps the folders of cases that are not as they should be")
    parser.add_argument("--verbose", action="store_true", help="tells of every case")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def tell(family, seed, verdict, reason):
        if verdict not in GOOD or arguments.verbose:
            print(f"{family} {seed}: {verdict}: {reason}", flush=True)

    found = run(arguments.family or FAMILIES, range(arguments.seed, arguments.seed + arguments.count), arguments.keep, tell)
    for family in arguments.family or FAMILIES:
        verdicts = [verdict for (other, _), (verdict, _) in found.items() if other == family]
        print(family, {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))})
    raise SystemExit(any(verdict not in GOOD for verdict, _ in found.values()))


if __name__ == "__main__":
    main()
