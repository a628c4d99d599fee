// GPT-2: learned positions, layer norms, fused qkv, weights stored transposed.

extension Family {
    static let gpt2 = Family(modelType: "gpt2") { configuration, tensors throws(ArchitectureError) in
        try configuration.require("scale_attn_weights", true)
        try configuration.require("scale_attn_by_inverse_layer_idx", false)
        try configuration.require("add_cross_attention", false)
        let hidden = try configuration.count("n_embd")
        let vocabulary = try configuration.count("vocab_size")
        let positions = try configuration.count("n_positions")
        let inner = try configuration.count("n_inner", default: 4 * hidden)
        let epsilon = Float(try configuration.positive("layer_norm_epsilon", default: 1e-5))
        let heads = try HeadCounts(configuration, headsKey: "n_head", hiddenSize: hidden)
        let activation = try ActivationFunction(configuration, key: "activation_function", default: "gelu_new")
        let isTied = try configuration.flag("tie_word_embeddings", default: true)
        let prefix = namePrefix(["transformer.", ""], of: "wte.weight", in: tensors)

        func block(_ index: Int) -> Block {
            let name = "\(prefix)h.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> [Linear] {
                [Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: true, layout: .columnsByRows)]
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: epsilon)) }
            let attention = Attention(
                layout: .thirds, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size, scale: heads.scale,
                window: nil, rotary: nil, queryNorm: nil, keyNorm: nil)
            return Block(
                index: index, name: name,
                stages: [
                    Stage(name: "qkv", input: norm("ln_1"), linears: linear("attn.c_attn", 3 * hidden, hidden), effect: .attention(attention)),
                    Stage(name: "attention output", input: .carried, linears: linear("attn.c_proj", hidden, hidden), effect: .addToResidual),
                    Stage(name: "up", input: norm("ln_2"), linears: linear("mlp.c_fc", inner, hidden), effect: .activation(activation)),
                    Stage(name: "down", input: .carried, linears: linear("mlp.c_proj", hidden, inner), effect: .addToResidual),
                ])
        }
        let embedding = "\(prefix)wte.weight"
        return Architecture(
            family: "gpt2", hiddenSize: hidden, vocabularySize: vocabulary, maximumPositions: positions,
            embedding: Embedding(
                tokens: embedding, positions: Embedding.Positions(tensor: "\(prefix)wpe.weight", rows: positions, offset: 0)),
            blocks: (0..<(try configuration.blockCount("n_layer"))).map(block),
            finalNorm: .layer("\(prefix)ln_f", size: hidden, epsilon: epsilon),
            head: Head("lm_head", tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}
