// gpt-oss: attention with sinks, experts with biases and a cut activation, the weights of all experts of a block in one tensor.

internal import Glibc

extension Family {
    private static let gptOSSNames = ModuleNames(causalClass: "GptOssForCausalLM", base: "model")

    static let gptOSS = Family(
        modelType: "gpt_oss", names: gptOSSNames,
        keys: FamilyKeys(
            GatedDecoder.keys(
                ExpertLayer.keys.union([
                    "attention_bias", "num_experts", "num_local_experts", "sliding_window", "swiglu_alpha", "swiglu_limit",
                ])),
            withoutEffect: ExpertLayer.keysOfTraining.union(["experts_per_token", "initial_context_length"]))
    ) { configuration throws(ArchitectureError) in
        var layer = try ExpertLayer(
            configuration, expertsKeys: ["num_local_experts", "num_experts"], defaults: (128, 4), intermediateKey: "intermediate_size", normalises: true)
        layer.router = "router"
        layer.hasRouterBias = true
        layer.hasBias = true
        layer.activation = ClampedActivation(
            alpha: Float(try configuration.positive("swiglu_alpha", default: 1.702)), limit: Float(try configuration.positive("swiglu_limit", default: 7)))
        // As transformers has them: what checkpoints store in MXFP4 is read transposed.
        layer = layer.fused(FusedExperts(layout: .columnsByRows, isInterleaved: true, hasBias: true), configuration)
        if try configuration.object("rope_scaling") == nil, try configuration.object("rope_parameters") == nil {
            // The scaling is then one for original positions of its own.
            try configuration.refuse("original_max_position_embeddings")
        }
        let window = try configuration.optionalCount("sliding_window", default: 128)
        let types = try GatedDecoder.layerTypes(configuration)
        let windows = try GatedDecoder.uniform(configuration).indices.map { index in
            (types.map { $0[index] == "sliding_attention" } ?? (index % 2 == 0)) ? window : nil
        }
        guard window != nil || types?.contains("sliding_attention") == false else {
            throw configuration.invalid("sliding_window", "a number of tokens, which some blocks need")
        }
        let bias = try configuration.flag("attention_bias", default: true)
        let yarn = YaRN(factor: 32, fast: 32, slow: 1, originalPositions: 4096, truncates: false, amplitude: 1 + 0.1 * log(32))
        let attention = GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, headSize: .number(default: 64), defaultKeyValueHeads: 8,
            rotation: Rotary.Spelling(defaultBase: 150_000, defaultScaling: .yarn(yarn)), hasSinks: true, windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), defaultEpsilon: 1e-5, experts: windows.map { _ in layer })
        return try decoder.architecture(configuration, gptOSSNames)
    }
}
