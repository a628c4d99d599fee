// Qwen 2, 2.5 and 3 (dense): Llama with biases on qkv (2) or norms of each head's query and key (3), and windows in some blocks.

extension Family {
    private static let qwen2Names = ModuleNames(causalClass: "Qwen2ForCausalLM", base: "model")
    private static let qwen3Names = ModuleNames(causalClass: "Qwen3ForCausalLM", base: "model")
    private static let windowKeys: Set<String> = ["max_window_layers", "sliding_window", "use_sliding_window"]
    /// Of keys and values, where config.json does not say.
    private static let qwenKeyValueHeads = 32

    static let qwen2 = Family(
        modelType: "qwen2", names: qwen2Names, keys: FamilyKeys(GatedDecoder.keys(windowKeys), withoutEffect: ["use_mrope"])
    ) { configuration throws(ArchitectureError) in
        let attention = GroupedAttention(
            queryKeyValueBias: true, headSize: .numberOrAbsent, defaultKeyValueHeads: qwenKeyValueHeads, windows: try qwenWindows(configuration))
        return try GatedDecoder(attention: .grouped(attention)).architecture(configuration, qwen2Names)
    }

    static let qwen3 = Family(
        modelType: "qwen3", names: qwen3Names, keys: FamilyKeys(GatedDecoder.keys(windowKeys.union(["attention_bias"])))
    ) { configuration throws(ArchitectureError) in
        let bias = try configuration.flag("attention_bias", default: false)
        let attention = GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, norms: .perHead, headSize: .number(default: 128), defaultKeyValueHeads: qwenKeyValueHeads,
            windows: try qwenWindows(configuration))
        return try GatedDecoder(attention: .grouped(attention)).architecture(configuration, qwen3Names)
    }

    /// With `use_sliding_window`, the blocks that `layer_types` names, else those from `max_window_layers` on, have a window.
    private static func qwenWindows(_ configuration: Configuration) throws(ArchitectureError) -> [Int?] {
        let full = try GatedDecoder.uniform(configuration)
        let types = try GatedDecoder.layerTypes(configuration)
        let slides = types?.contains("sliding_attention") == true
        guard try configuration.flag("use_sliding_window", default: false) else {
            guard !slides else { throw configuration.invalid("use_sliding_window", "true where layer_types has sliding_attention") }
            return full
        }
        guard let window = try configuration.optionalCount("sliding_window", default: 4096) else {
            guard !slides else { throw configuration.invalid("sliding_window", "a number of tokens where layer_types has sliding_attention") }
            return full
        }
        guard let types else {
            let first = try configuration.index("max_window_layers", default: 28)
            return full.indices.map { $0 >= first ? window : nil }
        }
        return types.map { $0 == "sliding_attention" ? window : nil }
    }
}
