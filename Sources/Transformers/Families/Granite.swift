// Granite: Llama with factors of its embedding, scores, outputs and logits.

extension Family {
    private static let graniteNames = ModuleNames(causalClass: "GraniteForCausalLM", base: "model")

    static let granite = Family(
        modelType: "granite", names: graniteNames,
        keys: FamilyKeys(
            GatedDecoder.keys([
                "attention_bias", "attention_multiplier", "embedding_multiplier", "logits_scaling", "mlp_bias", "residual_multiplier",
            ]))
    ) { configuration throws(ArchitectureError) in
        let bias = try configuration.flag("attention_bias", default: false)
        _ = try GatedDecoder.layerTypes(configuration)
        func factor(_ key: String) throws(ArchitectureError) -> Float { Float(try configuration.positive(key, default: 1)) }
        let attention = GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, headSize: .numberOrAbsent, scale: try factor("attention_multiplier"),
            windows: try GatedDecoder.uniform(configuration))
        let decoder = GatedDecoder(
            attention: .grouped(attention), feedForwardBias: try configuration.flag("mlp_bias", default: false),
            embeddingScale: .number(try factor("embedding_multiplier")), outputScale: try factor("residual_multiplier"),
            logitScale: 1 / (try factor("logits_scaling")))
        return try decoder.architecture(configuration, graniteNames)
    }
}
