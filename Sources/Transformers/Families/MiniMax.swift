// MiniMax-M2: many experts chosen by sigmoids, queries and keys normalised over all heads together and rotated in part.

extension Family {
    private static let miniMaxM2Names = ModuleNames(causalClass: "MiniMaxM2ForCausalLM", base: "model")

    static let miniMaxM2 = Family(
        modelType: "minimax_m2", names: miniMaxM2Names,
        keys: FamilyKeys(
            GatedDecoder.keys(
                ExpertLayer.keys.union([
                    "attention_bias", "attn_type_list", "layernorm_full_attention_beta", "layernorm_mlp_beta", "num_experts", "num_local_experts",
                    "qk_norm_type", "rotary_dim", "scoring_func", "shared_intermediate_size", "use_qk_norm", "use_routing_bias",
                ])),
            withoutEffect: ExpertLayer.keysOfTraining.union([
                "layernorm_linear_attention_beta", "max_model_len", "mtp_transformer_layers", "num_mtp_modules", "output_router_logits", "shared_moe_mode",
                "use_mtp",
            ]))
    ) { configuration throws(ArchitectureError) in
        // What only the code of the model's makers, or another client's, reads: there is one value that all of them compute.
        for (key, needed) in [("scoring_func", "sigmoid"), ("qk_norm_type", "per_layer")] {
            guard try configuration.string(key, default: needed) == needed else { throw configuration.unsupported(key, needed) }
        }
        for key in ["use_qk_norm", "use_routing_bias"] { try configuration.require(key, true) }
        try configuration.require("attention_bias", false)
        guard try configuration.indices("attn_type_list")?.allSatisfy({ $0 == 1 }) != false else {
            throw configuration.unsupported("attn_type_list", "1, full attention, for every block")
        }
        guard try configuration.index("shared_intermediate_size", default: 0) == 0 else { throw configuration.unsupported("shared_intermediate_size", "0") }
        for key in ["layernorm_full_attention_beta", "layernorm_mlp_beta"] {
            guard try configuration.positive(key, default: 1) == 1 else { throw configuration.unsupported(key, "1") }
        }
        var layer = try ExpertLayer(
            configuration, expertsKeys: ["num_local_experts", "num_experts"], defaults: (256, 8), intermediateKey: "intermediate_size", normalises: true)
        layer.module = "block_sparse_moe"
        layer.linears = ["w1", "w3", "w2"]
        layer.rule.scores = .sigmoid
        layer.rule.correction = "e_score_correction_bias"
        let windows = try GatedDecoder.uniform(configuration)
        _ = try GatedDecoder.layerTypes(configuration)
        let size = try configuration.count("head_dim", default: 128)
        let share = try configuration.optionalCount("rotary_dim").map { Double($0) / Double(size) } ?? 1
        let attention = GroupedAttention(
            norms: .wholeWidth, headSize: .number(default: 128), defaultKeyValueHeads: 8, takesNullKeyValueHeads: false,
            rotation: Rotary.Spelling(defaultBase: 5e6, defaultShare: share, isPartial: true), windows: windows)
        let decoder = GatedDecoder(attention: .grouped(attention), experts: windows.map { _ in layer })
        return try decoder.architecture(configuration, miniMaxM2Names)
    }
}
