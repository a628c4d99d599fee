// Cohere's Command R and R7B: both halves of a block side by side after one layer norm, rotation of neighbouring elements, logits with a factor.

extension Family {
    private static let cohereNames = ModuleNames(causalClass: "CohereForCausalLM", base: "model")
    private static let cohere2Names = ModuleNames(causalClass: "Cohere2ForCausalLM", base: "model")
    private static let cohereKeys = GatedDecoder.keys(["attention_bias", "logit_scale"], epsilon: "layer_norm_eps")

    static let cohere = Family(
        modelType: "cohere", names: cohereNames, keys: FamilyKeys(cohereKeys.union(["use_qk_norm"]))
    ) { configuration throws(ArchitectureError) in
        _ = try GatedDecoder.layerTypes(configuration)
        var attention = try cohereAttention(configuration, windows: GatedDecoder.uniform(configuration), rotaryBase: 500_000)
        if try configuration.flag("use_qk_norm", default: false) { attention.norms = .ownPerHead }
        return try cohereDecoder(configuration, attention).architecture(configuration, cohereNames)
    }

    /// Blocks with a window are rotated, those without are not.
    static let cohere2 = Family(
        modelType: "cohere2", names: cohere2Names, keys: FamilyKeys(cohereKeys.union(["sliding_window", "sliding_window_pattern"]))
    ) { configuration throws(ArchitectureError) in
        let windows = try GatedDecoder.windows(configuration, defaultPattern: 4)
        var attention = try cohereAttention(configuration, windows: windows, rotaryBase: 10_000)
        attention.windowRotation = .alone
        return try cohereDecoder(configuration, attention).architecture(configuration, cohere2Names)
    }

    private static func cohereAttention(_ configuration: Configuration, windows: [Int?], rotaryBase: Double) throws(ArchitectureError) -> GroupedAttention {
        let bias = try configuration.flag("attention_bias", default: false)
        return GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, headSize: .numberOrAbsent, rotation: Rotary.Spelling(defaultBase: rotaryBase, isInterleaved: true),
            normKind: .layer, windows: windows)
    }

    private static func cohereDecoder(_ configuration: Configuration, _ attention: GroupedAttention) throws(ArchitectureError) -> GatedDecoder {
        GatedDecoder(
            attention: .grouped(attention), normKind: .layer, placement: .shared, epsilonKey: "layer_norm_eps", defaultEpsilon: 1e-5,
            logitScale: Float(try configuration.positive("logit_scale", default: 0.0625)), isTiedByDefault: true)
    }
}
