// GPT-NeoX and Pythia: partial rotation, qkv fused per head, and (by default) attention and feed-forward side by side.

extension Family {
    private static let gptNeoXNames = ModuleNames(causalClass: "GPTNeoXForCausalLM", base: "gpt_neox", head: "embed_out")

    private static let gptNeoXKeys = FamilyKeys(
        Set([
            "attention_bias", "head_dim", "hidden_act", "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads",
            "num_hidden_layers", "tie_word_embeddings", "use_parallel_residual", "vocab_size",
        ]).union(Rotary.Spelling.gptNeoX.keys),
        // transformers passes over the newer names of the rotation's keys at the top.
        withoutEffect: ["classifier_dropout", "hidden_dropout", "partial_rotary_factor", "rope_theta"])

    static let gptNeoX = Family(modelType: "gpt_neox", names: gptNeoXNames, keys: gptNeoXKeys) { configuration throws(ArchitectureError) in
        let hidden = try configuration.count("hidden_size")
        let vocabulary = try configuration.count("vocab_size")
        let inner = try configuration.count("intermediate_size")
        let epsilon = Float(try configuration.positive("layer_norm_eps", default: 1e-5))
        let heads = try HeadCounts(configuration, headsKey: "num_attention_heads", hiddenSize: hidden)
        // A size of heads in config.json holds for the rotation alone.
        let rotary = try Rotary.read(configuration, headSize: configuration.optionalCount("head_dim") ?? heads.size, .gptNeoX)
        guard rotary.map({ $0.size <= heads.size }) ?? true else { throw configuration.unsupported("head_dim", "\(heads.size), the size of a head") }
        let activation = try ActivationFunction(configuration, key: "hidden_act", default: "gelu")
        let attentionBias = try configuration.flag("attention_bias", default: true)
        let isTied = try configuration.flag("tie_word_embeddings", default: false)
        // Side by side, both halves read the block's input, and their sum is added at the block's end.
        let addition = Addition(isPending: try configuration.flag("use_parallel_residual", default: true))

        func block(_ index: Int) -> Block {
            let name = "gpt_neox.layers.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int, bias: Bool) -> [Linear] {
                [Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: bias)]
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: epsilon)) }
            let attention = Attention(
                layout: .perGroup, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size, scale: heads.scale,
                window: nil, rotary: rotary, queryNorm: nil, keyNorm: nil)
            let qkv = Stage(
                name: "qkv", input: norm("input_layernorm"),
                linears: linear("attention.query_key_value", 3 * hidden, hidden, bias: attentionBias), effect: attention)
            let output = Stage(
                name: "attention output", after: qkv, linears: linear("attention.dense", hidden, hidden, bias: attentionBias), effect: addition)
            let up = Stage(
                name: "up", input: norm("post_attention_layernorm"), linears: linear("mlp.dense_h_to_4h", inner, hidden, bias: true),
                effect: PlainActivation(function: activation))
            let down = Stage(name: "down", after: up, linears: linear("mlp.dense_4h_to_h", hidden, inner, bias: true), effect: addition)
            return Block(index: index, name: name, stages: [qkv, output, up, down])
        }
        let embedding = "gpt_neox.embed_in.weight"
        return Architecture(
            family: "gpt_neox", hiddenSize: hidden, vocabularySize: vocabulary,
            maximumPositions: try configuration.count("max_position_embeddings"),
            embedding: Embedding(tokens: embedding, positions: nil),
            blocks: (0..<(try configuration.blockCount("num_hidden_layers"))).map(block),
            finalNorm: .layer("gpt_neox.final_layer_norm", size: hidden, epsilon: epsilon),
            head: Head(gptNeoXNames, tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}
