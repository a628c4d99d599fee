// GPT-2: learned positions, layer norms, fused qkv, weights stored transposed.

extension Family {
    private static let gpt2Names = ModuleNames(causalClass: "GPT2LMHeadModel", base: "transformer")

    private static let gpt2Keys = FamilyKeys(
        Set([
            "activation_function", "add_cross_attention", "layer_norm_epsilon", "n_inner", "scale_attn_by_inverse_layer_idx", "scale_attn_weights",
            "reorder_and_upcast_attn", "tie_word_embeddings", "vocab_size",
        ]).union(Configuration.shortNames.keys).union(Configuration.shortNames.values),
        withoutEffect: [
            "attn_pdrop", "embd_pdrop", "n_ctx", "resid_pdrop", "summary_activation", "summary_first_dropout",
            "summary_proj_to_labels", "summary_type", "summary_use_proj",
        ])

    static let gpt2 = Family(modelType: "gpt2", names: gpt2Names, keys: gpt2Keys) { configuration throws(ArchitectureError) in
        try configuration.require("add_cross_attention", false)
        // Of no effect: scores are computed in fp32 in any case, and scaled in whatever order.
        _ = try configuration.flag("reorder_and_upcast_attn", default: false)
        let extents = try GPTExtents(configuration)
        let (hidden, inner, heads) = (extents.hidden, extents.inner, extents.heads)
        let activation = try ActivationFunction(configuration, key: "activation_function", default: "gelu_new")
        let isTied = try configuration.flag("tie_word_embeddings", default: true)
        let isScaled = try configuration.flag("scale_attn_weights", default: true)
        let isScaledByBlock = try configuration.flag("scale_attn_by_inverse_layer_idx", default: false)
        let base = gpt2Names.base

        func block(_ index: Int) -> Block {
            let name = "\(base).h.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> [Linear] {
                [Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: true, layout: .columnsByRows)]
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: extents.epsilon)) }
            let scale = isScaled ? heads.scale : 1
            let attention = Attention(
                layout: .fused, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size,
                scale: isScaledByBlock ? scale / Float(index + 1) : scale,
                window: nil, rotary: nil, queryNorm: nil, keyNorm: nil)
            let qkv = Stage(name: "qkv", input: norm("ln_1"), linears: linear("attn.c_attn", 3 * hidden, hidden), effect: attention)
            let output = Stage(name: "attention output", after: qkv, linears: linear("attn.c_proj", hidden, hidden), effect: Addition())
            let up = Stage(name: "up", input: norm("ln_2"), linears: linear("mlp.c_fc", inner, hidden), effect: PlainActivation(function: activation))
            let down = Stage(name: "down", after: up, linears: linear("mlp.c_proj", hidden, inner), effect: Addition())
            return Block(index: index, name: name, stages: [qkv, output, up, down])
        }
        let embedding = "\(base).wte.weight"
        return Architecture(
            family: "gpt2", hiddenSize: hidden, vocabularySize: extents.vocabulary, maximumPositions: extents.positions,
            embedding: Embedding(
                tokens: embedding, positions: Embedding.Positions(tensor: "\(base).wpe.weight", rows: extents.positions, offset: 0)),
            blocks: (0..<(try configuration.blockCount(configuration.longName(of: "n_layer")))).map(block),
            finalNorm: .layer("\(base).ln_f", size: hidden, epsilon: extents.epsilon),
            head: Head(gpt2Names, tiedTo: isTied ? embedding : nil, vocabularySize: extents.vocabulary, hiddenSize: hidden))
    }
}
