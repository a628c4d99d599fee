// GLM-4.5 to 4.7 (grouped-query attention), GLM-4.7-Flash and GLM-5 (latent attention), all with DeepSeek's experts.

extension Family {
    private static let expertKeys = ExpertLayer.deepSeekKeys
    private static let withoutEffect = ExpertLayer.deepSeekKeysWithoutEffect
    private static let glm4MoENames = ModuleNames(causalClass: "Glm4MoeForCausalLM", base: "model")
    private static let glm4MoELiteNames = ModuleNames(causalClass: "Glm4MoeLiteForCausalLM", base: "model")
    private static let glmMoEDSANames = ModuleNames(causalClass: "GlmMoeDsaForCausalLM", base: "model")

    static let glm4MoE = Family(
        modelType: "glm4_moe", names: glm4MoENames,
        keys: FamilyKeys(GatedDecoder.keys(expertKeys.union(["attention_bias", "use_qk_norm"])), withoutEffect: withoutEffect)
    ) { configuration throws(ArchitectureError) in
        _ = try GatedDecoder.layerTypes(configuration)
        let layer = try ExpertLayer.deepSeek(configuration, ExpertLayer.DeepSeekDefaults(experts: 128, chosen: 8, scale: 1))
        let attention = GroupedAttention(
            queryKeyValueBias: try configuration.flag("attention_bias", default: false),
            norms: try configuration.flag("use_qk_norm", default: false) ? .perHead : .none, headSize: .optional, defaultKeyValueHeads: 8,
            takesNullKeyValueHeads: false, rotation: Rotary.Spelling(defaultShare: 0.5, isPartial: true), windows: try GatedDecoder.uniform(configuration))
        let decoder = GatedDecoder(
            attention: .grouped(attention), defaultEpsilon: 1e-5, experts: try layer.afterDense(configuration, default: 1))
        return try decoder.architecture(configuration, glm4MoENames)
    }

    static let glm4MoELite = Family(
        modelType: "glm4_moe_lite", names: glm4MoELiteNames,
        keys: FamilyKeys(GatedDecoder.keys(LatentAttentionLayer.keys.union(ExpertLayer.deepSeekKeysOfTypes)), withoutEffect: withoutEffect)
    ) { configuration throws(ArchitectureError) in
        let defaults = LatentAttentionLayer.Defaults(
            keyValueHeads: 20, takesNullKeyValueHeads: false, queryRank: 768, plainSize: 192, valueSize: 256, isInterleaved: true, readsHeadSize: true,
            readsShare: true)
        _ = try GatedDecoder.layerTypes(configuration)
        let layer = try ExpertLayer.deepSeek(configuration, ExpertLayer.DeepSeekDefaults(experts: 64, chosen: 4, scale: 1.8))
        let decoder = GatedDecoder(
            attention: .latent(try LatentAttentionLayer(configuration, defaults)), defaultEpsilon: 1e-5,
            experts: try layer.byTypes(configuration, default: 1, onlyDefault: true))
        return try decoder.architecture(configuration, glm4MoELiteNames)
    }

    static let glmMoEDSA = Family(
        modelType: "glm_moe_dsa", names: glmMoEDSANames,
        keys: FamilyKeys(
            GatedDecoder.keys(LatentAttentionLayer.keys.union(ExpertLayer.deepSeekKeysOfTypes).union(SparseAttention.keys).union(["mlp_bias", "num_experts"])),
            withoutEffect: withoutEffect.union(SparseAttention.ofIndexer))
    ) { configuration throws(ArchitectureError) in
        try configuration.require("mlp_bias", false)
        let defaults = LatentAttentionLayer.Defaults(
            keyValueHeads: 64, takesNullKeyValueHeads: false, queryRank: 2048, plainSize: 192, valueSize: 256, takesNullQueryRank: false)
        let layer = try ExpertLayer.deepSeek(
            configuration, ExpertLayer.DeepSeekDefaults(experts: 256, chosen: 8, scale: 2.5, otherKeys: ["num_local_experts", "num_experts"]))
        let decoder = GatedDecoder(
            attention: .latent(try LatentAttentionLayer(configuration, defaults)), defaultEpsilon: 1e-5, experts: try layer.byTypes(configuration, default: 3))
        return try decoder.architecture(configuration, glmMoEDSANames).with(lengthLimit: SparseAttention.limit(configuration))
    }
}
