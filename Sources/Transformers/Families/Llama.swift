// Llama 1, 2 and 3, and the many models that use its config.json.

extension Family {
    private static let llamaNames = ModuleNames(causalClass: "LlamaForCausalLM", base: "model")

    static let llama = Family(
        modelType: "llama", names: llamaNames, keys: FamilyKeys(GatedDecoder.keys(["attention_bias", "mlp_bias"]), withoutEffect: ["pretraining_tp"])
    ) { configuration throws(ArchitectureError) in
        let attentionBias = try configuration.flag("attention_bias", default: false)
        // Checked, and of no effect: the types of blocks that transformers does not know make it fail.
        _ = try GatedDecoder.layerTypes(configuration)
        let attention = GroupedAttention(
            queryKeyValueBias: attentionBias, outputBias: attentionBias, headSize: .dividingHidden, windows: try GatedDecoder.uniform(configuration))
        let decoder = GatedDecoder(attention: .grouped(attention), feedForwardBias: try configuration.flag("mlp_bias", default: false))
        return try decoder.architecture(configuration, llamaNames)
    }
}
