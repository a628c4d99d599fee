// OLMoE: many small experts, queries and keys normalised over all heads together, and cut to a range where config.json says so.

extension Family {
    private static let olmoeNames = ModuleNames(causalClass: "OlmoeForCausalLM", base: "model")

    static let olmoe = Family(
        modelType: "olmoe", names: olmoeNames,
        keys: FamilyKeys(
            GatedDecoder.keys(ExpertLayer.keys.union(["attention_bias", "clip_qkv", "norm_topk_prob", "num_experts", "num_local_experts"])),
            withoutEffect: ExpertLayer.keysOfTraining)
    ) { configuration throws(ArchitectureError) in
        let layer = try ExpertLayer(
            configuration, expertsKeys: ["num_experts", "num_local_experts"], defaults: (64, 8), intermediateKey: "intermediate_size",
            normalises: try configuration.flag("norm_topk_prob", default: false))
        let bias = try configuration.flag("attention_bias", default: false)
        let windows = try GatedDecoder.uniform(configuration)
        _ = try GatedDecoder.layerTypes(configuration)
        let isClipped = try configuration.has("clip_qkv")
        let clips = isClipped ? try !configuration.isNull("clip_qkv") : false
        let attention = GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, norms: .wholeWidth, clip: clips ? Float(try configuration.positive("clip_qkv")) : nil,
            headSize: .numberOrAbsent, windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), defaultEpsilon: 1e-5, experts: windows.map { _ in layer })
        return try decoder.architecture(configuration, olmoeNames)
    }
}
