// GPT-J: rotation of neighbouring elements, attention and feed-forward side by side after one layer norm, a head with a bias.

extension Family {
    private static let gptJNames = ModuleNames(causalClass: "GPTJForCausalLM", base: "transformer")

    private static let gptJKeys = FamilyKeys(
        Set(["activation_function", "layer_norm_epsilon", "n_inner", "rotary_dim", "tie_word_embeddings", "vocab_size"])
            .union(Configuration.shortNames.keys).union(Configuration.shortNames.values),
        withoutEffect: [
            "attn_pdrop", "embd_pdrop", "resid_pdrop", "scale_attn_weights", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
            "summary_type", "summary_use_proj",
        ])

    static let gptJ = Family(modelType: "gptj", names: gptJNames, keys: gptJKeys) { configuration throws(ArchitectureError) in
        let extents = try GPTExtents(configuration)
        let (hidden, inner, heads) = (extents.hidden, extents.inner, extents.heads)
        let rotated = try configuration.count("rotary_dim", default: 64)
        guard rotated % 2 == 0, rotated <= heads.size else {
            throw configuration.invalid("rotary_dim", "even, and at most the size of a head, \(heads.size)")
        }
        let rotary = Rotary(size: rotated, divisor: rotated, base: 10_000, scaling: .none, isInterleaved: true)
        let activation = try ActivationFunction(configuration, key: "activation_function", default: "gelu_new")
        let isTied = try configuration.flag("tie_word_embeddings", default: false)
        let base = gptJNames.base

        func block(_ index: Int) -> Block {
            let name = "\(base).h.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int, bias: Bool) -> Linear {
                Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: bias)
            }
            let input = StageInput.norm(.layer("\(name).ln_1", size: hidden, epsilon: extents.epsilon))
            let attention = Attention(
                layout: .separate, heads: heads.heads, keyValueHeads: heads.heads, headSize: heads.size, scale: heads.scale, window: nil, rotary: rotary,
                queryNorm: nil, keyNorm: nil)
            let projections = ["q_proj", "k_proj", "v_proj"].map { linear("attn.\($0)", hidden, hidden, bias: false) }
            let qkv = Stage(name: "qkv", input: input, linears: projections, effect: attention)
            let output = Stage(
                name: "attention output", after: qkv, linears: [linear("attn.out_proj", hidden, hidden, bias: false)], effect: Addition(isPending: true))
            let up = Stage(name: "up", input: input, linears: [linear("mlp.fc_in", inner, hidden, bias: true)], effect: PlainActivation(function: activation))
            let down = Stage(name: "down", after: up, linears: [linear("mlp.fc_out", hidden, inner, bias: true)], effect: Addition(isPending: true))
            return Block(index: index, name: name, stages: [qkv, output, up, down])
        }
        let embedding = "\(base).wte.weight"
        return Architecture(
            family: "gptj", hiddenSize: hidden, vocabularySize: extents.vocabulary, maximumPositions: extents.positions,
            // The angles of these positions are a table.
            embedding: Embedding(tokens: embedding, positions: nil, isBounded: true),
            blocks: (0..<(try configuration.blockCount(configuration.longName(of: "n_layer")))).map(block),
            finalNorm: .layer("\(base).ln_f", size: hidden, epsilon: extents.epsilon),
            head: Head(gptJNames, tiedTo: isTied ? embedding : nil, vocabularySize: extents.vocabulary, hiddenSize: hidden, bias: true))
    }
}
