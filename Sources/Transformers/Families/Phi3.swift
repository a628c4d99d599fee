// Phi-3 and Phi-4: Llama with one linear for queries, keys and values, and one for gate and up.

extension Family {
    private static let phi3Names = ModuleNames(causalClass: "Phi3ForCausalLM", base: "model")

    private static let phi3Rotation = Rotary.Spelling(
        isPartial: true, names: ["default": "default", "longrope": "longrope", "su": "longrope", "yarn": "longrope"], defaultOriginalPositions: 4096,
        defaultPositions: 4096)

    static let phi3 = Family(
        modelType: "phi3", names: phi3Names, keys: FamilyKeys(GatedDecoder.keys(["sliding_window"]), withoutEffect: ["embd_pdrop", "resid_pdrop"])
    ) { configuration throws(ArchitectureError) in
        // Checked, and of no effect where frequencies are not scaled.
        _ = try GatedDecoder.layerTypes(configuration)
        _ = try configuration.count("original_max_position_embeddings", default: 4096)
        let windows = try GatedDecoder.uniform(configuration, window: try configuration.optionalCount("sliding_window"))
        let attention = GroupedAttention(headSize: .numberOrAbsent, rotation: phi3Rotation, isFused: true, windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), isFused: true, defaultEpsilon: 1e-5)
        return try decoder.architecture(configuration, phi3Names)
    }
}
