// DeepSeek V2 and V3 and what is built like them (R1, V3.1, Kimi-K2), and V3.2: latent attention, experts beside shared ones.

extension Family {
    private static let latentKeys = GatedDecoder.keys(LatentAttentionLayer.keys.union(ExpertLayer.deepSeekKeys))
    private static let withoutEffect = ExpertLayer.deepSeekKeysWithoutEffect

    /// DeepSeek V2 and its Lite: a softmax router, by groups or not.
    static let deepSeekV2 = Family(
        modelType: "deepseek_v2", names: deepSeekV2Names, keys: FamilyKeys(latentKeys.union(["mlp_bias", "num_experts"]), withoutEffect: withoutEffect)
    ) { configuration throws(ArchitectureError) in
        try configuration.require("mlp_bias", false)
        _ = try GatedDecoder.layerTypes(configuration)
        // transformers does not look at it, and weights are not divided there.
        try configuration.require("norm_topk_prob", false)
        guard try configuration.string("scoring_func", default: "softmax") == "softmax" else { throw configuration.unsupported("scoring_func", "softmax") }
        var layer = try ExpertLayer(
            configuration, expertsKeys: ["n_routed_experts", "num_experts"], defaults: (64, nil), intermediateKey: "moe_intermediate_size", normalises: false)
        layer.rule.scale = Float(try configuration.positive("routed_scaling_factor", default: 1))
        layer.shared = ExpertLayer.Shared(
            module: "shared_experts", intermediate: try configuration.count("n_shared_experts", default: 2) * layer.intermediate)
        switch try configuration.string("topk_method", default: "greedy") {
        case "greedy": break
        case "group_limited_greedy": layer.rule.groups = try layer.groups(configuration, defaults: nil, measure: .largest)
        default: throw configuration.unsupported("topk_method", "greedy, group_limited_greedy")
        }
        let hidden = try configuration.count("hidden_size"), heads = try configuration.count("num_attention_heads")
        guard hidden % heads == 0 else { throw configuration.invalid("num_attention_heads", "a divisor of the hidden size, \(hidden)") }
        let attention = try LatentAttentionLayer(configuration, LatentAttentionLayer.Defaults(queryRank: 1536))
        let decoder = GatedDecoder(attention: .latent(attention), experts: try layer.afterDense(configuration, default: 0))
        return try decoder.architecture(configuration, deepSeekV2Names)
    }

    static let deepSeekV3 = likeDeepSeekV3("deepseek_v3", deepSeekV3Names)
    /// Its own code is DeepSeek V3's.
    static let kimiK2 = likeDeepSeekV3("kimi_k2", deepSeekV3Names)
    /// Kimi-K2.5 and later, which see images.
    static let kimiK25 = wrapping(
        likeDeepSeekV3("kimi_k2", .inVisionModel("KimiK25ForConditionalGeneration")), as: "kimi_k25", ["deepseek_v3"])

    private static func likeDeepSeekV3(_ modelType: String, _ names: ModuleNames) -> Family {
        Family(modelType: modelType, names: names, keys: FamilyKeys(latentKeys, withoutEffect: withoutEffect)) {
            configuration throws(ArchitectureError) in
            _ = try GatedDecoder.layerTypes(configuration)
            let attention = try LatentAttentionLayer(
                configuration, LatentAttentionLayer.Defaults(keyValueHeads: 128, queryRank: 1536, isInterleaved: true, readsHeadSize: true))
            let layer = try ExpertLayer.deepSeek(configuration, deepSeekV3Experts)
            let decoder = GatedDecoder(attention: .latent(attention), experts: try layer.afterDense(configuration, default: 3))
            return try decoder.architecture(configuration, names)
        }
    }

    static let deepSeekV32 = Family(
        modelType: "deepseek_v32", names: deepSeekV32Names,
        keys: FamilyKeys(
            latentKeys.union(ExpertLayer.deepSeekKeysOfTypes).union(SparseAttention.keys).union(["mlp_bias", "num_experts"]),
            withoutEffect: withoutEffect.union(SparseAttention.ofIndexer))
    ) { configuration throws(ArchitectureError) in
        try configuration.require("mlp_bias", false)
        let attention = try LatentAttentionLayer(
            configuration, LatentAttentionLayer.Defaults(keyValueHeads: 128, takesNullKeyValueHeads: false, queryRank: 1536, takesNullQueryRank: false))
        var experts = deepSeekV3Experts
        experts.otherKeys.append("num_experts")
        let layer = try ExpertLayer.deepSeek(configuration, experts)
        let decoder = GatedDecoder(attention: .latent(attention), experts: try layer.byTypes(configuration, default: 3))
        return try decoder.architecture(configuration, deepSeekV32Names).with(lengthLimit: SparseAttention.limit(configuration))
    }

    private static let deepSeekV3Experts = ExpertLayer.DeepSeekDefaults(experts: 256, chosen: 8, groups: 8, chosenGroups: 4, scale: 2.5)
}

private let deepSeekV2Names = ModuleNames(causalClass: "DeepseekV2ForCausalLM", base: "model")
private let deepSeekV3Names = ModuleNames(causalClass: "DeepseekV3ForCausalLM", base: "model")
private let deepSeekV32Names = ModuleNames(causalClass: "DeepseekV32ForCausalLM", base: "model")

/// Attention to the tokens that an indexer chooses. Up to as many as it chooses it is attention to all: the indexer's tensors are not read.
enum SparseAttention {
    /// The keys of config.json that are read here.
    static let keys: Set<String> = ["index_head_dim", "index_topk", "qk_rope_head_dim"]
    /// Those of the indexer itself.
    static let ofIndexer: Set<String> = [
        "index_n_heads", "index_skip_topk_offset", "index_topk_freq", "index_topk_pattern", "indexer_rope_interleave", "indexer_types",
    ]

    static func limit(_ configuration: Configuration) throws(ArchitectureError) -> LengthLimit {
        let rotated = try configuration.count("qk_rope_head_dim", default: 64)
        guard try configuration.count("index_head_dim", default: 128) >= rotated else {
            throw configuration.invalid("index_head_dim", "at least \(rotated), as `qk_rope_head_dim`")
        }
        return LengthLimit(
            tokens: try configuration.count("index_topk", default: 2048), key: "index_topk",
            reason: "beyond it attention is to tokens that an indexer chooses, which is not computed",
            unread: ".self_attn.indexer.")
    }
}
