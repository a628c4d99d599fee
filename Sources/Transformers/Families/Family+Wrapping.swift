// Families of models for several kinds of input: their language model is computed, the rest is copied.

extension Family {
    /// Keys of such models beside the language model's.
    private static let otherKeys: Set<String> = [
        "audio_config", "audio_token_id", "audio_token_index", "boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index", "ignore_index",
        "image_token_id", "image_token_index", "media_placeholder_token_id", "mm_tokens_per_image", "multimodal_projector_bias", "projection_dim",
        "projection_hidden_size", "projection_layer_norm_eps",
        "projector_hidden_act", "spatial_merge_size", "use_unified_vision_chunk", "video_placeholder", "video_token_id", "vision_config",
        "vision_end_token_id", "vision_feature_layer", "vision_feature_select_strategy", "vision_start_token_id",
    ]

    /// The family of models with such a language model.
    ///
    /// - Parameters:
    ///   - text: its family, with the names that its modules have in these models.
    ///   - modelTypes: other model_types of its own that stand for the same.
    static func wrapping(_ text: Family, as modelType: String, _ modelTypes: [String] = []) -> Family {
        let own = [text.modelType] + modelTypes
        return Family(
            modelType: modelType, names: text.names, keys: FamilyKeys([TextModel.key, "tie_word_embeddings"], withoutEffect: otherKeys),
            text: TextModel(modelTypes: own, keys: text.keys)
        ) { configuration throws(ArchitectureError) in
            guard let inner = try configuration.object(TextModel.key) else { throw .missing(source: configuration.source, key: TextModel.key) }
            guard own.contains(try inner.string("model_type")) else { throw inner.unsupported("model_type", own.joined(separator: ", ")) }
            // Whether the head is tied, the whole model decides.
            return try text.read(inner.taking("tie_word_embeddings", from: configuration))
        }
    }
}
