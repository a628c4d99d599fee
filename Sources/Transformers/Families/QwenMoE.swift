// Qwen 2 and 3 with mixtures of experts: in all blocks or some, with a shared expert (2) or without (3).

extension Family {
    private static let qwen2MoENames = ModuleNames(causalClass: "Qwen2MoeForCausalLM", base: "model")
    private static let qwen3MoENames = ModuleNames(causalClass: "Qwen3MoeForCausalLM", base: "model")
    private static let expertKeys = ExpertLayer.keys.union([
        "decoder_sparse_step", "mlp_only_layers", "moe_intermediate_size", "norm_topk_prob", "num_experts", "sliding_window",
        "use_sliding_window",
    ])

    static let qwen2MoE = Family(
        modelType: "qwen2_moe", names: qwen2MoENames,
        keys: FamilyKeys(
            GatedDecoder.keys(expertKeys.union(["max_window_layers", "qkv_bias", "shared_expert_intermediate_size"])),
            withoutEffect: ExpertLayer.keysOfTraining)
    ) { configuration throws(ArchitectureError) in
        var layer = try expertLayer(configuration, keys: ["num_experts"], defaults: (60, 4))
        layer.shared = ExpertLayer.Shared(
            module: "shared_expert", intermediate: try configuration.count("shared_expert_intermediate_size", default: 5632), share: "shared_expert_gate")
        let windows = try qwen2MoEWindows(configuration)
        let attention = GroupedAttention(
            queryKeyValueBias: try configuration.flag("qkv_bias", default: true), headSize: .numberOrAbsent, defaultKeyValueHeads: 16,
            takesNullKeyValueHeads: false, windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), experts: try expertLayers(configuration, layer, blocks: windows.count))
        return try decoder.architecture(configuration, qwen2MoENames)
    }

    static let qwen3MoE = Family(
        modelType: "qwen3_moe", names: qwen3MoENames,
        keys: FamilyKeys(
            GatedDecoder.keys(expertKeys.union(["attention_bias", "num_local_experts"])), withoutEffect: ExpertLayer.keysOfTraining.union(["max_window_layers"])
        )
    ) { configuration throws(ArchitectureError) in
        let layer = try expertLayer(configuration, keys: ["num_experts", "num_local_experts"], defaults: (128, 8))
        let bias = try configuration.flag("attention_bias", default: false)
        _ = try GatedDecoder.layerTypes(configuration)
        let slides = try configuration.flag("use_sliding_window", default: false)
        let windows = try GatedDecoder.uniform(configuration, window: slides ? try configuration.optionalCount("sliding_window", default: 4096) : nil)
        let attention = GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, norms: .perHead, headSize: .numberOrAbsent, defaultKeyValueHeads: 4, takesNullKeyValueHeads: false,
            windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), experts: try expertLayers(configuration, layer, blocks: windows.count))
        return try decoder.architecture(configuration, qwen3MoENames)
    }

    private static func expertLayer(
        _ configuration: Configuration, keys: [String], defaults: (experts: Int, chosen: Int)
    ) throws(ArchitectureError) -> ExpertLayer {
        try ExpertLayer(
            configuration, expertsKeys: keys, defaults: defaults, intermediateKey: "moe_intermediate_size",
            normalises: try configuration.flag("norm_topk_prob", default: false))
    }

    /// Every `decoder_sparse_step`-th block has experts, but for those that `mlp_only_layers` names.
    static func expertLayers(_ configuration: Configuration, _ layer: ExpertLayer, blocks: Int) throws(ArchitectureError) -> [ExpertLayer?] {
        let step = try configuration.count("decoder_sparse_step", default: 1)
        let dense = Set(try configuration.indices("mlp_only_layers") ?? [])
        return (0..<blocks).map { dense.contains($0) || ($0 + 1) % step != 0 ? nil : layer }
    }

    /// With `use_sliding_window`, the blocks that `layer_types` names, else every second one of those below `max_window_layers`, have a window.
    private static func qwen2MoEWindows(_ configuration: Configuration) throws(ArchitectureError) -> [Int?] {
        let full = try GatedDecoder.uniform(configuration)
        let types = try GatedDecoder.layerTypes(configuration)
        guard try configuration.flag("use_sliding_window", default: false) else {
            guard types?.contains("sliding_attention") != true else {
                throw configuration.invalid("layer_types", "full_attention alone where use_sliding_window is not true")
            }
            return full
        }
        let window = try configuration.count("sliding_window", default: 4096)
        if let types { return types.map { $0 == "sliding_attention" ? window : nil } }
        let end = try configuration.index("max_window_layers", default: 28)
        return full.indices.map { $0 < end && $0 % 2 == 0 ? window : nil }
    }
}
