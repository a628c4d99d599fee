// BLOOM: a layer norm after the embedding, biases of scores instead of positions, qkv fused per head.

extension Family {
    private static let bloomNames = ModuleNames(causalClass: "BloomForCausalLM", base: "transformer")

    private static let bloomKeys = FamilyKeys(
        [
            "apply_residual_connection_post_layernorm", "hidden_size", "layer_norm_epsilon", "n_embed", "n_head", "n_layer", "num_attention_heads",
            "num_hidden_layers", "pretraining_tp", "slow_but_exact", "tie_word_embeddings", "vocab_size",
        ],
        withoutEffect: [
            "attention_softmax_in_fp32", "bias_dropout_fusion", "hidden_dropout", "masked_softmax_fusion", "offset_alibi", "seq_length", "skip_bias_add",
            "skip_bias_add_qkv", "unk_token_id",
        ])

    static let bloom = Family(modelType: "bloom", names: bloomNames, keys: bloomKeys) { configuration throws(ArchitectureError) in
        try configuration.require("apply_residual_connection_post_layernorm", false)
        // The two together make transformers leave biases out.
        if try configuration.count("pretraining_tp", default: 1) > 1 { try configuration.require("slow_but_exact", false) }
        let hidden = try configuration.olderHiddenSize()
        let vocabulary = try configuration.count("vocab_size")
        let epsilon = Float(try configuration.positive("layer_norm_epsilon", default: 1e-5))
        let heads = try HeadCounts(configuration, headsKey: configuration.longName(of: "n_head"), hiddenSize: hidden)
        let isTied = try configuration.flag("tie_word_embeddings", default: true)
        let base = bloomNames.base

        func block(_ index: Int) -> Block {
            let name = "\(base).h.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> [Linear] {
                [Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: true)]
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: epsilon)) }
            let attention = Attention(
                layout: .perGroup, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size, scale: heads.scale, window: nil, rotary: nil,
                queryNorm: nil, keyNorm: nil, bias: LinearBias(heads: heads.heads))
            let qkv = Stage(
                name: "qkv", input: norm("input_layernorm"), linears: linear("self_attention.query_key_value", 3 * hidden, hidden), effect: attention)
            let output = Stage(name: "attention output", after: qkv, linears: linear("self_attention.dense", hidden, hidden), effect: Addition())
            let up = Stage(
                name: "up", input: norm("post_attention_layernorm"), linears: linear("mlp.dense_h_to_4h", 4 * hidden, hidden),
                effect: PlainActivation(function: .geluTanh))
            let down = Stage(name: "down", after: up, linears: linear("mlp.dense_4h_to_h", hidden, 4 * hidden), effect: Addition())
            return Block(index: index, name: name, stages: [qkv, output, up, down])
        }
        let embedding = "\(base).word_embeddings.weight"
        return Architecture(
            // Its biases go on for any length.
            family: "bloom", hiddenSize: hidden, vocabularySize: vocabulary, maximumPositions: Configuration.largestCount,
            embedding: Embedding(tokens: embedding, positions: nil, norm: .layer("\(base).word_embeddings_layernorm", size: hidden, epsilon: epsilon)),
            blocks: (0..<(try configuration.blockCount(configuration.longName(of: "n_layer")))).map(block),
            finalNorm: .layer("\(base).ln_f", size: hidden, epsilon: epsilon),
            head: Head(bloomNames, tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}

extension Configuration {
    /// The hidden size, for which `n_embed` stands in older files, and wins.
    func olderHiddenSize() throws(ArchitectureError) -> Int {
        if let size = try optionalCount("n_embed") { return size }
        return try count("hidden_size")
    }
}
