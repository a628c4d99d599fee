// Llama 4: experts whose inputs are weighted, blocks without rotation, the weights of all experts of a block in one tensor.

extension Family {
    static let llama4 = llama4(ModuleNames(causalClass: "Llama4ForCausalLM", base: "model"))
    static let llama4Vision = wrapping(
        llama4(.inVisionModel("Llama4ForConditionalGeneration")), as: "llama4")

    private static func llama4(_ names: ModuleNames) -> Family {
        Family(
            modelType: "llama4_text", names: names,
            keys: FamilyKeys(
                GatedDecoder.keys(
                    ExpertLayer.keys.union([
                        "attention_bias", "attention_chunk_size", "attn_scale", "attn_temperature_tuning", "floor_scale", "interleave_moe_layer_step",
                        "intermediate_size_mlp", "moe_layers", "no_rope_layer_interval", "no_rope_layers", "num_local_experts", "use_qk_norm",
                    ])), withoutEffect: ExpertLayer.keysOfTraining.union(["for_llm_compressor"]))
        ) { configuration throws(ArchitectureError) in
            let count = try configuration.blockCount("num_hidden_layers")
            var layer = try ExpertLayer(
                configuration, expertsKeys: ["num_local_experts"], defaults: (16, 1), intermediateKey: "intermediate_size", normalises: false)
            layer.module = "feed_forward"
            layer.router = "router"
            layer.rule.scores = .sigmoid
            layer.rule.weighsInputs = true
            layer.shared = ExpertLayer.Shared(module: "shared_expert", intermediate: layer.intermediate)
            layer = layer.fused(FusedExperts(layout: .columnsByRows), configuration)
            let step = try configuration.count("interleave_moe_layer_step", default: 1)
            let sparse = try configuration.indices("moe_layers").map(Set.init) ?? Set((0..<count).filter { ($0 + 1) % step == 0 })
            let unrotated = try unrotated(configuration, count)
            let bias = try configuration.flag("attention_bias", default: false)
            let attention = GroupedAttention(
                queryKeyValueBias: bias, outputBias: bias, headSize: .number(default: 128), defaultKeyValueHeads: 8,
                rotation: Rotary.Spelling(defaultBase: 500_000, isInterleaved: true),
                normalisesRotated: try configuration.flag("use_qk_norm", default: true), unrotated: unrotated, windows: Array(repeating: nil, count: count))
            let decoder = GatedDecoder(
                attention: .grouped(attention), feedForward: "feed_forward", intermediateKey: "intermediate_size_mlp", defaultEpsilon: 1e-5,
                experts: (0..<count).map { sparse.contains($0) ? layer : nil })
            return try decoder.architecture(configuration, names).with(lengthLimit: try limit(configuration, unrotated, count))
        }
    }

    /// The blocks without rotation: those with a 0 in `no_rope_layers`, else every n-th.
    private static func unrotated(_ configuration: Configuration, _ count: Int) throws(ArchitectureError) -> Set<Int> {
        if let flags = try configuration.indices("no_rope_layers"), !flags.isEmpty {
            guard flags.count >= count, flags.allSatisfy({ $0 <= 1 }) else {
                throw configuration.invalid("no_rope_layers", "0 or 1 for each of \(count) blocks")
            }
            return Set((0..<count).filter { flags[$0] == 0 })
        }
        let interval = try configuration.count("no_rope_layer_interval", default: 4)
        return Set((0..<count).filter { ($0 + 1) % interval == 0 })
    }

    /// The tokens up to which rotated blocks attend to all and the others need no factor of their scores.
    private static func limit(_ configuration: Configuration, _ unrotated: Set<Int>, _ count: Int) throws(ArchitectureError) -> LengthLimit? {
        let types = try configuration.strings("layer_types")
        if let types {
            guard types.count == count, types.allSatisfy(["full_attention", "chunked_attention"].contains) else {
                throw configuration.unsupported("layer_types", "full_attention or chunked_attention for each of \(count) blocks")
            }
        }
        var limits: [LengthLimit] = []
        if types?.contains("chunked_attention") ?? (unrotated.count < count) {
            guard let chunk = try configuration.optionalCount("attention_chunk_size", default: 8192) else {
                throw configuration.invalid("attention_chunk_size", "a number of tokens, which some blocks need")
            }
            limits.append(LengthLimit(tokens: chunk, key: "attention_chunk_size", reason: "beyond it attention is inside chunks, which is not computed"))
        }
        if try configuration.flag("attn_temperature_tuning", default: true), !unrotated.isEmpty, try configuration.notNegative("attn_scale", default: 0.1) > 0 {
            let scale = try configuration.count("floor_scale", default: 8192)
            limits.append(
                LengthLimit(tokens: scale - 1, key: "floor_scale", reason: "from it on queries grow with their positions, which is not computed"))
        }
        return limits.min { $0.tokens < $1.tokens }
    }
}
