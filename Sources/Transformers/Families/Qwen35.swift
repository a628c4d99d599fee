// Qwen3.5 and 3.6: Qwen3-Next's attention with other linears, dense or with experts, by itself or in a model for images too.

extension Family {
    static let qwen35 = qwen35("Qwen3_5ForCausalLM", base: "model")
    static let qwen35MoE = qwen35MoE("Qwen3_5MoeForCausalLM", base: "model")
    static let qwen35Vision = wrapping(qwen35("Qwen3_5ForConditionalGeneration", base: "model.language_model"), as: "qwen3_5")
    static let qwen35MoEVision = wrapping(qwen35MoE("Qwen3_5MoeForConditionalGeneration", base: "model.language_model"), as: "qwen3_5_moe")

    private static let qwen35Keys = GatedDecoder.keys(LinearAttentionLayer.keys.union(["attention_bias"]))
    /// The parts of positions of images: of texts all are the same.
    private static let withoutEffect: Set<String> = [
        "attn_output_gate", "mamba_ssm_dtype", "mlp_only_layers", "mtp_use_dedicated_embeddings", "output_gate_type",
    ]

    private static func qwen35(_ causalClass: String, base: String) -> Family {
        let names = ModuleNames(causalClass: causalClass, base: base)
        return Family(modelType: "qwen3_5_text", names: names, keys: FamilyKeys(qwen35Keys, withoutEffect: withoutEffect)) {
            configuration throws(ArchitectureError) in
            let decoder = GatedDecoder(attention: try gatedAttention(configuration, layout: .separate), normKind: .zeroCentredRootMeanSquare)
            return try decoder.architecture(configuration, names)
        }
    }

    private static func qwen35MoE(_ causalClass: String, base: String) -> Family {
        let names = ModuleNames(causalClass: causalClass, base: base)
        let keys = ExpertLayer.keys.union(["moe_intermediate_size", "num_experts", "shared_expert_intermediate_size"])
        return Family(
            modelType: "qwen3_5_moe_text", names: names,
            keys: FamilyKeys(qwen35Keys.union(keys), withoutEffect: withoutEffect.union(ExpertLayer.keysOfTraining).union(["norm_topk_prob"]))
        ) { configuration throws(ArchitectureError) in
            var layer = try ExpertLayer(
                configuration, expertsKeys: ["num_experts"], defaults: (256, 8), intermediateKey: "moe_intermediate_size", normalises: true)
            layer.shared = ExpertLayer.Shared(
                module: "shared_expert", intermediate: try configuration.count("shared_expert_intermediate_size", default: 512), share: "shared_expert_gate")
            layer = layer.fused(FusedExperts(), configuration)
            let blocks = try configuration.blockCount("num_hidden_layers")
            let decoder = GatedDecoder(
                attention: try gatedAttention(configuration, layout: .separate), normKind: .zeroCentredRootMeanSquare,
                experts: Array(repeating: layer, count: blocks))
            return try decoder.architecture(configuration, names)
        }
    }
}
