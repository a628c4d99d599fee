// The keys of config.json that a family knows.

/// Every family lists the keys that it reads, so that none is read in passing, and those that it leaves alone knowingly. Keys in neither list are named to
/// the user: transformers passes over them, but a model's own code may not.
struct FamilyKeys: Sendable {
    /// Keys that say what the model computes.
    let read: Set<String>
    /// Keys of the family that change nothing of what the model computes: of training, of other tasks, of older versions.
    let withoutEffect: Set<String>

    init(_ read: Set<String>, withoutEffect: Set<String> = []) {
        self.read = read.union(["model_type", "architectures", "is_causal", "per_layer_config", "transformers_weights"])
        self.withoutEffect = withoutEffect
    }

    func knows(_ key: String) -> Bool {
        read.contains(key) || withoutEffect.contains(key) || Self.common.contains(key) || Architecture.predictorKeys.contains(key)
    }

    /// What transformers keeps for any model: descriptions, tasks other than language modelling, settings of generation, of training and of its own code.
    private static let common: Set<String> = [
        "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path", "add_cross_attention", "attention_dropout",
        "attn_implementation", "auto_map", "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward", "cross_attention_hidden_size",
        "custom_pipelines", "decoder_start_token_id", "diversity_penalty", "do_sample", "dtype", "early_stopping", "encoder_no_repeat_ngram_size",
        "eos_token_id", "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing",
        "id2label", "initializer_range", "is_decoder", "is_encoder_decoder", "label2id", "length_penalty", "max_length", "min_length", "name_or_path",
        "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels", "num_return_sequences", "output_attentions", "output_hidden_states",
        "output_scores", "pad_token_id", "prefix", "problem_type", "pruned_heads", "quantization_config", "remove_invalid_values", "repetition_penalty",
        "return_dict", "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss",
        "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript", "transformers_version", "typical_p", "unsloth_fixed",
        "unsloth_version", "use_bfloat16", "use_cache",
    ]
}
