// GPT-NeoX and Pythia: partial rotation, qkv fused per head, and (by default) attention and feed-forward side by side.

extension Family {
    static let gptNeoX = Family(modelType: "gpt_neox") { configuration, _ throws(ArchitectureError) in
        let hidden = try configuration.count("hidden_size")
        let vocabulary = try configuration.count("vocab_size")
        let inner = try configuration.count("intermediate_size")
        let epsilon = Float(try configuration.positive("layer_norm_eps", default: 1e-5))
        let heads = try HeadCounts(configuration, headsKey: "num_attention_heads", hiddenSize: hidden)
        let rotary = try Rotary(
            configuration, headSize: heads.size, baseKey: "rotary_emb_base", shareKey: "rotary_pct", defaultShare: 0.25)
        let activation = try ActivationFunction(configuration, key: "hidden_act", default: "gelu")
        let attentionBias = try configuration.flag("attention_bias", default: true)
        let isTied = try configuration.flag("tie_word_embeddings", default: false)
        // Side by side, both halves read the block's input, and their sum is added at the block's end.
        let addition: StageEffect = try configuration.flag("use_parallel_residual", default: true) ? .addToPending : .addToResidual

        func block(_ index: Int) -> Block {
            let name = "gpt_neox.layers.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int, bias: Bool) -> [Linear] {
                [Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: bias)]
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: epsilon)) }
            let attention = Attention(
                layout: .perHead, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size, scale: heads.scale,
                window: nil, rotary: rotary, queryNorm: nil, keyNorm: nil)
            return Block(
                index: index, name: name,
                stages: [
                    Stage(
                        name: "qkv", input: norm("input_layernorm"),
                        linears: linear("attention.query_key_value", 3 * hidden, hidden, bias: attentionBias), effect: .attention(attention)),
                    Stage(
                        name: "attention output", input: .carried,
                        linears: linear("attention.dense", hidden, hidden, bias: attentionBias), effect: addition),
                    Stage(
                        name: "up", input: norm("post_attention_layernorm"),
                        linears: linear("mlp.dense_h_to_4h", inner, hidden, bias: true), effect: .activation(activation)),
                    Stage(
                        name: "down", input: .carried, linears: linear("mlp.dense_4h_to_h", hidden, inner, bias: true), effect: addition),
                ])
        }
        let embedding = "gpt_neox.embed_in.weight"
        return Architecture(
            family: "gpt_neox", hiddenSize: hidden, vocabularySize: vocabulary,
            maximumPositions: try configuration.count("max_position_embeddings"),
            embedding: Embedding(tokens: embedding, positions: nil),
            blocks: (0..<(try configuration.blockCount("num_hidden_layers"))).map(block),
            finalNorm: .layer("gpt_neox.final_layer_norm", size: hidden, epsilon: epsilon),
            head: Head("embed_out", tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}
