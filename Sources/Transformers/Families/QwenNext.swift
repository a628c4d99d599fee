// Qwen3-Next: linear attention in three blocks of four, gated attention in the others, and experts beside a shared one.

extension Family {
    private static let qwen3NextNames = ModuleNames(causalClass: "Qwen3NextForCausalLM", base: "model")

    static let qwen3Next = Family(
        modelType: "qwen3_next", names: qwen3NextNames,
        keys: FamilyKeys(
            GatedDecoder.keys(
                ExpertLayer.keys.union(LinearAttentionLayer.keys).union([
                    "attention_bias", "decoder_sparse_step", "mlp_only_layers", "moe_intermediate_size", "norm_topk_prob", "num_experts",
                    "shared_expert_intermediate_size",
                ])), withoutEffect: ExpertLayer.keysOfTraining)
    ) { configuration throws(ArchitectureError) in
        var layer = try ExpertLayer(
            configuration, expertsKeys: ["num_experts"], defaults: (512, 10), intermediateKey: "moe_intermediate_size",
            normalises: try configuration.flag("norm_topk_prob", default: true))
        layer.shared = ExpertLayer.Shared(
            module: "shared_expert", intermediate: try configuration.count("shared_expert_intermediate_size", default: 512), share: "shared_expert_gate")
        let decoder = GatedDecoder(
            attention: try gatedAttention(configuration, layout: .perKeyHead), normKind: .zeroCentredRootMeanSquare,
            experts: try expertLayers(configuration, layer, blocks: try configuration.blockCount("num_hidden_layers")))
        return try decoder.architecture(configuration, qwen3NextNames)
    }

    /// Attention with gates, and linear attention in the blocks that have it.
    static func gatedAttention(_ configuration: Configuration, layout: GatedDeltaNet.HeadLayout) throws(ArchitectureError) -> GatedDecoder.AttentionKind {
        let bias = try configuration.flag("attention_bias", default: false)
        let attention = GroupedAttention(
            queryKeyValueBias: bias, outputBias: bias, norms: .perHead, headSize: .number(default: 256), defaultKeyValueHeads: 2,
            takesNullKeyValueHeads: false, rotation: Rotary.Spelling(defaultShare: 0.25, isPartial: true), normKind: .zeroCentredRootMeanSquare, isGated: true,
            windows: try GatedDecoder.uniform(configuration))
        let linear = try LinearAttentionLayer(configuration, layout: layout)
        let blocks = try LinearAttentionLayer.blocks(configuration)
        return .grouped(attention, others: Dictionary(uniqueKeysWithValues: blocks.map { ($0, linear) }))
    }
}
