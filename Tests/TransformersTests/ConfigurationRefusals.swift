// Small configurations of the families, and what is refused of them.

import Foundation

let llama = """
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 100, "max_position_embeddings": 128
    """
let neox = llama.replacing("llama", with: "gpt_neox")
let mistral = llama.replacing("llama", with: "mistral") + #", "num_key_value_heads": 2"#
let qwen2 = llama.replacing("llama", with: "qwen2") + #", "num_key_value_heads": 2"#
let qwen3 = llama.replacing("llama", with: "qwen3") + #", "num_key_value_heads": 2"#
let gpt2 = #""model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 4, "vocab_size": 100, "n_positions": 128"#
let opt = """
    "model_type": "opt", "hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 100,
    "max_position_embeddings": 128
    """

/// A config.json that is refused.
struct Refusal: Sendable, CustomStringConvertible {
    let configuration: String
    /// What the message must name.
    let named: [String]
    var description: String { named.joined(separator: " ") }
    init(_ configuration: String, _ named: String...) { (self.configuration, self.named) = (configuration, named) }
}

// In lists that the compiler can take in.
let refusals0: [Refusal] = [
    Refusal(#""hidden_size": 64"#, "model_type", "config.json"),
    Refusal(#""model_type": "mamba""#, "mamba", "gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2", "qwen3"),
    Refusal(#""model_type": 7"#, "model_type", "7", "string"),
    Refusal(llama.replacing(#""hidden_size": 64, "#, with: ""), "hidden_size"),
    Refusal(llama.replacing(#""num_hidden_layers": 2"#, with: #""num_hidden_layers": 1000000"#), "num_hidden_layers", "1000000"),
    Refusal(llama.replacing("64", with: "-64"), "hidden_size", "-64"),
    Refusal(llama.replacing("64", with: "64.5"), "hidden_size", "64.5"),
    Refusal(llama.replacing("64", with: "\"64\""), "hidden_size", "\"64\""),
    Refusal(llama.replacing("64", with: "9223372036854775807"), "hidden_size", "9223372036854775807"),
    Refusal(llama.replacing("64", with: "1e300"), "hidden_size"),
    Refusal(llama.replacing(#""num_attention_heads": 4"#, with: #""num_attention_heads": 5"#), "num_attention_heads", "5", "64"),
]
let refusals1: [Refusal] = [
    Refusal(llama + #", "num_key_value_heads": 3"#, "num_key_value_heads", "3"),
    Refusal(llama + #", "hidden_act": "quick_gelu""#, "hidden_act", "quick_gelu", "silu"),
    Refusal(llama + #", "attention_bias": 1"#, "attention_bias", "1"),
    Refusal(llama + #", "rms_norm_eps": 0"#, "rms_norm_eps", "0"),
    Refusal(llama + #", "head_dim": 7"#, "head_dim", "7"),
    Refusal(llama.replacing(#"heads": 4"#, with: #"heads": 6"#) + #", "head_dim": 8"#, "num_attention_heads", "6", "64"),
    Refusal(llama + #", "rope_scaling": 4"#, "rope_scaling", "4"),
    Refusal(llama + #", "rope_scaling": {"type": "proportional", "factor": 2}"#, "rope_scaling.type", "proportional", "llama3"),
    Refusal(llama + #", "rope_parameters": {"rope_type": "longrope", "factor": 2}"#, "rope_parameters.short_factor"),
    Refusal(llama + #", "rope_scaling": {"type": "longrope", "short_factor": [1, 0], "long_factor": [1, 2]}"#, "short_factor", "above 0"),
    Refusal(
        llama + #", "rope_scaling": {"type": "longrope", "short_factor": [1, 2], "long_factor": [1, 2]}"#,
        "rope_scaling.short_factor", "8 numbers", "has 2"),
    Refusal(llama + #", "head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2}"#, "rope_scaling.type", "2 elements"),
    Refusal(llama + #", "rope_parameters": {"full_attention": {"rope_type": "default"}}"#, "rope_parameters.full_attention"),
    Refusal(llama + #", "rope_theta": null"#, "rope_theta", "null"),
    Refusal(llama + #", "original_max_position_embeddings": null, "rope_scaling": {"rope_type": "yarn", "factor": 2}"#, "original_max", "null"),
]
let refusals2: [Refusal] = [
    Refusal(llama + #", "partial_rotary_factor": 0.5, "rope_scaling": {"rope_type": "linear", "factor": 2}"#, "partial_rotary_factor", "0.5", "wholes"),
    Refusal(llama + #", "is_causal": false"#, "is_causal", "false"),
    Refusal(llama + #", "per_layer_config": {"0": {"intermediate_size": 8}}"#, "per_layer_config"),
    Refusal(llama + #", "transformers_weights": "other.safetensors""#, "transformers_weights", "other"),
    Refusal(llama + #", "layer_types": ["full_attention"]"#, "layer_types"),
    Refusal(llama + #", "hidden_act": null"#, "hidden_act", "null"),
    Refusal(llama + #", "tie_word_embeddings": null"#, "tie_word_embeddings", "null"),
    Refusal(llama + #", "rope_parameters": {"rope_type": "linear"}"#, "rope_parameters.factor"),
    Refusal(neox + #", "rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 1.5}"#, "partial_rotary_factor", "1.5"),
    Refusal(neox + #", "rotary_pct": null"#, "rotary_pct", "null"),
    Refusal(neox + #", "head_dim": 128"#, "head_dim", "128", "16"),
    Refusal(
        llama + #", "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}"#,
        "high_freq_factor", "1"),
]
let refusals3: [Refusal] = [
    Refusal(gpt2 + #", "add_cross_attention": true"#, "add_cross_attention"),
    Refusal(opt + #", "do_layer_norm_before": false"#, "do_layer_norm_before", "false"),
    Refusal(opt + #", "word_embed_proj_dim": 32"#, "word_embed_proj_dim", "32", "64"),
    Refusal(qwen3 + #", "use_sliding_window": true, "layer_types": ["full_attention"]"#, "layer_types"),
    Refusal(qwen3 + #", "head_dim": null"#, "head_dim", "null"),
    Refusal(qwen2 + #", "head_dim": null"#, "head_dim", "null"),
    Refusal(qwen2 + #", "use_sliding_window": true, "max_window_layers": -1"#, "max_window_layers", "-1"),
    Refusal(
        qwen2 + #", "use_sliding_window": true, "sliding_window": null, "layer_types": ["full_attention", "sliding_attention"]"#, "sliding_window", "null"),
]
