// Mixtral: Mistral with experts instead of a feed-forward network, two for each token.

extension Family {
    private static let mixtralNames = ModuleNames(causalClass: "MixtralForCausalLM", base: "model")

    static let mixtral = Family(
        modelType: "mixtral", names: mixtralNames,
        keys: FamilyKeys(
            GatedDecoder.keys(ExpertLayer.keys.union(["num_experts", "num_local_experts", "sliding_window"])), withoutEffect: ExpertLayer.keysOfTraining)
    ) { configuration throws(ArchitectureError) in
        var layer = try ExpertLayer(
            configuration, expertsKeys: ["num_local_experts", "num_experts"], defaults: (8, 2), intermediateKey: "intermediate_size", normalises: true)
        layer.module = "block_sparse_moe"
        layer.linears = ["w1", "w3", "w2"]
        let window = try configuration.optionalCount("sliding_window")
        let windows = try GatedDecoder.uniform(configuration, window: window)
        // Checked, and of no effect.
        _ = try GatedDecoder.layerTypes(configuration)
        let attention = GroupedAttention(
            defaultKeyValueHeads: 8, takesNullKeyValueHeads: false, scalesRotationBySize: true, rotation: Rotary.Spelling(defaultBase: 1e6), windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), defaultEpsilon: 1e-5, experts: windows.map { _ in layer })
        return try decoder.architecture(configuration, mixtralNames)
    }
}
