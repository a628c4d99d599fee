// Mistral: Llama with a sliding attention window in every block.

extension Family {
    static let mistral = Family(modelType: "mistral") { configuration, _ throws(ArchitectureError) in
        let window = configuration.isNull("sliding_window") ? nil : try configuration.count("sliding_window", default: 4096)
        return try GatedDecoder(windows: try GatedDecoder.uniform(configuration, window: window)).architecture(configuration)
    }
}
