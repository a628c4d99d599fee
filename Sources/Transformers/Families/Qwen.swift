// Qwen 2, 2.5 and 3 (dense): Llama with biases on qkv (2) or norms of each head's query and key (3), and windows in some blocks.

extension Family {
    static let qwen2 = Family(modelType: "qwen2") { configuration, _ throws(ArchitectureError) in
        try GatedDecoder(queryKeyValueBias: true, windows: try qwenWindows(configuration)).architecture(configuration)
    }

    static let qwen3 = Family(modelType: "qwen3") { configuration, _ throws(ArchitectureError) in
        let bias = try configuration.flag("attention_bias", default: false)
        let decoder = GatedDecoder(
            queryKeyValueBias: bias, outputBias: bias, headNorms: true, defaultHeadSize: 128, windows: try qwenWindows(configuration))
        return try decoder.architecture(configuration)
    }

    /// With `use_sliding_window`, the blocks that `layer_types` names, else those from `max_window_layers` on, have a window.
    private static func qwenWindows(_ configuration: Configuration) throws(ArchitectureError) -> [Int?] {
        let full = try GatedDecoder.uniform(configuration)
        guard try configuration.flag("use_sliding_window", default: false) else {
            guard try configuration.strings("layer_types")?.contains("sliding_attention") != true else {
                throw configuration.invalid("use_sliding_window", "true where layer_types has sliding_attention")
            }
            return full
        }
        if configuration.isNull("sliding_window") { return full }
        let window = try configuration.count("sliding_window", default: 4096)
        guard let types = try configuration.strings("layer_types") else {
            let first = try configuration.index("max_window_layers", default: 28)
            return full.indices.map { $0 >= first ? window : nil }
        }
        guard types.count == full.count, types.allSatisfy(["full_attention", "sliding_attention"].contains) else {
            throw configuration.unsupported("layer_types", "full_attention or sliding_attention for each of \(full.count) blocks")
        }
        return types.map { $0 == "sliding_attention" ? window : nil }
    }
}
