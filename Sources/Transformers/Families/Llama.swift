// Llama 1, 2 and 3, and the many models that use its config.json.

extension Family {
    static let llama = Family(modelType: "llama") { configuration, _ throws(ArchitectureError) in
        let attentionBias = try configuration.flag("attention_bias", default: false)
        let decoder = GatedDecoder(
            queryKeyValueBias: attentionBias, outputBias: attentionBias,
            feedForwardBias: try configuration.flag("mlp_bias", default: false), windows: try GatedDecoder.uniform(configuration))
        return try decoder.architecture(configuration)
    }
}
