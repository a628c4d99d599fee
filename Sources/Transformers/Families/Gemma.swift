// Gemma 2 and 3 (text): norms around both halves of a block, scaled embeddings, windows in most blocks, caps of scores and logits.

extension Family {
    private static let gemma2Names = ModuleNames(causalClass: "Gemma2ForCausalLM", base: "model")
    private static let gemmaKeys = GatedDecoder.keys(
        [
            "attention_bias", "attn_logit_softcapping", "dtype", "final_logit_softcapping", "query_pre_attn_scalar", "sliding_window", "torch_dtype",
            "use_bidirectional_attention",
        ], activation: "hidden_activation")

    static let gemma2 = Family(
        modelType: "gemma2", names: gemma2Names, keys: FamilyKeys(gemmaKeys, withoutEffect: ["cache_implementation", "hidden_act"])
    ) { configuration throws(ArchitectureError) in
        let windows = try GatedDecoder.windows(configuration, pattern: 2)
        let attention = try gemmaAttention(configuration, windows: windows, softcap: 50)
        return try gemmaDecoder(configuration, attention, softcap: 30).architecture(configuration, gemma2Names)
    }

    static let gemma3 = gemma3(ModuleNames(causalClass: "Gemma3ForCausalLM", base: "model"))
    static let gemma3Vision = wrapping(gemma3(.inVisionModel("Gemma3ForConditionalGeneration")), as: "gemma3")

    /// Blocks with a window have a rotation of their own.
    private static func gemma3(_ names: ModuleNames) -> Family {
        Family(
            modelType: "gemma3_text", names: names,
            keys: FamilyKeys(
                gemmaKeys.union(["rope_local_base_freq", "sliding_window_pattern"]), withoutEffect: ["cache_implementation", "hidden_act"])
        ) { configuration throws(ArchitectureError) in
            let windows = try GatedDecoder.windows(configuration, defaultPattern: 6)
            // transformers passes over it, and other clients do not.
            try configuration.refuse("attn_logit_softcapping")
            var attention = try gemmaAttention(configuration, windows: windows, softcap: nil)
            attention.norms = .perHead
            let local = Rotary.Spelling(baseKey: "rope_local_base_freq", blocks: "sliding_attention")
            // What is said of blocks that are not there does not count.
            let slides = windows.map { $0 != nil }
            attention.rotation = slides.contains(false) ? Rotary.Spelling(defaultBase: 1e6, blocks: "full_attention") : local
            let size = try configuration.count("head_dim", default: gemmaHeadSize)
            if slides.contains(true), slides.contains(false) { attention.windowRotation = .other(try Rotary.read(configuration, headSize: size, local)) }
            return try gemmaDecoder(configuration, attention, softcap: nil).architecture(configuration, names)
        }
    }

    private static let gemmaHeadSize = 256

    private static func gemmaAttention(_ configuration: Configuration, windows: [Int?], softcap: Double?) throws(ArchitectureError) -> GroupedAttention {
        if try !configuration.isNull("use_bidirectional_attention") { try configuration.require("use_bidirectional_attention", false) }
        let bias = try configuration.flag("attention_bias", default: false)
        return GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, headSize: .numberDividingHidden(default: gemmaHeadSize), defaultKeyValueHeads: 4,
            takesNullKeyValueHeads: false, normKind: .zeroCentredRootMeanSquare,
            scale: Float(1 / Double(try configuration.count("query_pre_attn_scalar", default: 256)).squareRoot()),
            softcap: try self.softcap(configuration, "attn_logit_softcapping", default: softcap), windows: windows)
    }

    private static func gemmaDecoder(
        _ configuration: Configuration, _ attention: GroupedAttention, softcap: Double?
    ) throws(ArchitectureError) -> GatedDecoder {
        let hidden = try configuration.count("hidden_size")
        return GatedDecoder(
            attention: .grouped(attention), normKind: .zeroCentredRootMeanSquare, placement: .around, activationKey: "hidden_activation",
            defaultActivation: "gelu_pytorch_tanh", embeddingScale: .rounded(Double(hidden).squareRoot(), to: try StoredType(configuration)),
            logitSoftcap: try self.softcap(configuration, "final_logit_softcapping", default: softcap), isTiedByDefault: true)
    }

    /// A null stands for none.
    private static func softcap(_ configuration: Configuration, _ key: String, default fallback: Double?) throws(ArchitectureError) -> Float? {
        if try configuration.isNull(key) { return nil }
        return try configuration.has(key) || fallback != nil ? Float(try configuration.positive(key, default: fallback)) : nil
    }
}

extension StoredType {
    /// The type that config.json names for the model's numbers; nil where it names none, and the checkpoint's own counts.
    fileprivate init?(_ configuration: Configuration) throws(ArchitectureError) {
        let key = try configuration.has("dtype") ? "dtype" : "torch_dtype"
        let isThere = try configuration.has(key)
        guard try isThere ? !configuration.isNull(key) : false else { return nil }
        switch try configuration.string(key) {
        case "float32": self = .f32
        case "float16": self = .f16
        case "bfloat16": self = .bf16
        default: throw configuration.unsupported(key, "bfloat16, float16, float32")
        }
    }
}
