// OPT: learned positions from row 2 on, layer norms before each half of a block, separate q, k and v.

extension Family {
    private static let optNames = ModuleNames(causalClass: "OPTForCausalLM", base: "model")

    private static let optKeys = FamilyKeys(
        [
            "_remove_final_layer_norm", "activation_function", "do_layer_norm_before", "enable_bias", "ffn_dim", "hidden_size", "layer_norm_elementwise_affine",
            "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "tie_word_embeddings", "vocab_size", "word_embed_proj_dim",
        ], withoutEffect: ["activation_dropout", "dropout", "init_std", "layerdrop"])

    static let opt = Family(modelType: "opt", names: optNames, keys: optKeys) { configuration throws(ArchitectureError) in
        try configuration.require("do_layer_norm_before", true)
        try configuration.require("_remove_final_layer_norm", false)
        try configuration.require("layer_norm_elementwise_affine", true)
        let hidden = try configuration.count("hidden_size")
        guard try configuration.optionalCount("word_embed_proj_dim") ?? hidden == hidden else {
            throw configuration.unsupported("word_embed_proj_dim", "the hidden size, \(hidden)")
        }
        let vocabulary = try configuration.count("vocab_size")
        let positions = try configuration.count("max_position_embeddings")
        let inner = try configuration.count("ffn_dim")
        let heads = try HeadCounts(configuration, headsKey: "num_attention_heads", hiddenSize: hidden)
        let activation = try ActivationFunction(configuration, key: "activation_function", default: "relu")
        let bias = try configuration.flag("enable_bias", default: true)
        let isTied = try configuration.flag("tie_word_embeddings", default: true)
        let decoder = "\(optNames.base).decoder"
        let epsilon: Float = 1e-5

        func block(_ index: Int) -> Block {
            let name = "\(decoder).layers.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> Linear {
                Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: bias)
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: epsilon)) }
            let attention = Attention(
                layout: .separate, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size, scale: heads.scale,
                window: nil, rotary: nil, queryNorm: nil, keyNorm: nil)
            let projections = ["q_proj", "k_proj", "v_proj"].map { linear("self_attn.\($0)", hidden, hidden) }
            let qkv = Stage(name: "qkv", input: norm("self_attn_layer_norm"), linears: projections, effect: attention)
            let output = Stage(name: "attention output", after: qkv, linears: [linear("self_attn.out_proj", hidden, hidden)], effect: Addition())
            let up = Stage(name: "up", input: norm("final_layer_norm"), linears: [linear("fc1", inner, hidden)], effect: PlainActivation(function: activation))
            let down = Stage(name: "down", after: up, linears: [linear("fc2", hidden, inner)], effect: Addition())
            return Block(index: index, name: name, stages: [qkv, output, up, down])
        }
        let embedding = "\(decoder).embed_tokens.weight"
        return Architecture(
            family: "opt", hiddenSize: hidden, vocabularySize: vocabulary, maximumPositions: positions,
            embedding: Embedding(
                tokens: embedding,
                positions: Embedding.Positions(tensor: "\(decoder).embed_positions.weight", rows: positions + 2, offset: 2)),
            blocks: (0..<(try configuration.blockCount("num_hidden_layers"))).map(block),
            finalNorm: .layer("\(decoder).final_layer_norm", size: hidden, epsilon: epsilon),
            head: Head(optNames, tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}
