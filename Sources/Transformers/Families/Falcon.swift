// Falcon: few key-value heads beside many queries in one linear, attention and feed-forward side by side, rotation or biases of scores.

extension Family {
    private static let falconNames = ModuleNames(causalClass: "FalconForCausalLM", base: "transformer")

    private static let falconKeys = FamilyKeys(
        Set([
            "activation", "alibi", "bias", "ffn_hidden_size", "head_dim", "hidden_size", "layer_norm_epsilon", "max_position_embeddings", "multi_query",
            "n_embed", "new_decoder_architecture", "num_attention_heads", "num_hidden_layers", "num_kv_heads", "num_ln_in_parallel_attn", "parallel_attn",
            "rotary", "tie_word_embeddings", "vocab_size",
        ]).union(Rotary.Spelling.whole.keys), withoutEffect: ["hidden_dropout"])

    private static let falconPositions = 2048

    static let falcon = Family(modelType: "falcon", names: falconNames, keys: falconKeys) { configuration throws(ArchitectureError) in
        // Names that transformers' configuration keeps for itself.
        for key in ["head_dim", "rotary"] where try configuration.has(key) { throw configuration.unsupported(key, "no such key") }
        let hidden = try configuration.olderHiddenSize()
        let vocabulary = try configuration.count("vocab_size")
        let inner = try configuration.optionalCount("ffn_hidden_size") ?? 4 * hidden
        let epsilon = Float(try configuration.positive("layer_norm_epsilon", default: 1e-5))
        let layout = try FalconLayout(configuration, hidden: hidden)
        let heads = layout.heads
        // Read in either case, since transformers does.
        let rotary = try Rotary.read(configuration, headSize: heads.size, Rotary.Spelling(defaultPositions: falconPositions))
        let hasBiases = try configuration.flag("alibi", default: false)
        guard hasBiases || heads.size % 2 == 0 else { throw configuration.invalid("num_attention_heads", "such that heads have an even number of elements") }
        let bias = try configuration.flag("bias", default: false)
        let activation = try ActivationFunction(configuration, key: "activation", default: "gelu")
        let isTied = try configuration.flag("tie_word_embeddings", default: true)
        let base = falconNames.base

        func block(_ index: Int) -> Block {
            let name = "\(base).h.\(index)"
            func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> [Linear] {
                [Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: bias)]
            }
            func norm(_ suffix: String) -> StageInput { .norm(.layer("\(name).\(suffix)", size: hidden, epsilon: epsilon)) }
            let addition = Addition(isPending: layout.isParallel)
            let attention = Attention(
                layout: layout.isPerGroup ? .perGroup : .fused, heads: heads.heads, keyValueHeads: heads.keyValueHeads, headSize: heads.size,
                scale: heads.scale, window: nil, rotary: hasBiases ? nil : rotary, queryNorm: nil, keyNorm: nil,
                bias: hasBiases ? LinearBias(heads: heads.heads, isRounded: true, scale: heads.scale) : nil)
            let rows = (heads.heads + 2 * heads.keyValueHeads) * heads.size
            let qkv = Stage(
                name: "qkv", input: norm(layout.norms.attention), linears: linear("self_attention.query_key_value", rows, hidden), effect: attention)
            let output = Stage(name: "attention output", after: qkv, linears: linear("self_attention.dense", hidden, hidden), effect: addition)
            let up = Stage(
                name: "up", input: norm(layout.norms.feedForward), linears: linear("mlp.dense_h_to_4h", inner, hidden),
                effect: PlainActivation(function: activation))
            let down = Stage(name: "down", after: up, linears: linear("mlp.dense_4h_to_h", hidden, inner), effect: addition)
            return Block(index: index, name: name, stages: [qkv, output, up, down])
        }
        let embedding = "\(base).word_embeddings.weight"
        return Architecture(
            family: "falcon", hiddenSize: hidden, vocabularySize: vocabulary,
            maximumPositions: try configuration.count("max_position_embeddings", default: falconPositions),
            embedding: Embedding(tokens: embedding, positions: nil),
            blocks: (0..<(try configuration.blockCount("num_hidden_layers"))).map(block),
            finalNorm: .layer("\(base).ln_f", size: hidden, epsilon: epsilon),
            head: Head(falconNames, tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}

/// The kinds of a Falcon's block.
private struct FalconLayout {
    let heads: HeadCounts
    /// Whether the rows of a key-value head follow those of its queries; else all queries come first.
    let isPerGroup: Bool
    let isParallel: Bool
    let norms: (attention: String, feedForward: String)

    init(_ configuration: Configuration, hidden: Int) throws(ArchitectureError) {
        let isNewer = try configuration.flag("new_decoder_architecture", default: false)
        let hasOneKey = try configuration.flag("multi_query", default: true)
        let queries = try HeadCounts(configuration, headsKey: "num_attention_heads", hiddenSize: hidden)
        let given = try configuration.optionalCount("num_kv_heads") ?? queries.heads
        if isNewer {
            guard queries.heads % given == 0 else { throw configuration.invalid("num_kv_heads", "a divisor of the number of heads, \(queries.heads)") }
        } else if !hasOneKey, given != queries.heads {
            throw configuration.invalid("num_kv_heads", "\(queries.heads), the number of heads")
        }
        isPerGroup = isNewer || !hasOneKey
        heads = try HeadCounts(
            configuration, headsKey: "num_attention_heads", hiddenSize: hidden, keyValueHeads: isNewer ? given : hasOneKey ? 1 : queries.heads)
        isParallel = try configuration.flag("parallel_attn", default: true)
        let key = "num_ln_in_parallel_attn"
        var count: Int?
        if try configuration.has(key), try !configuration.isNull(key) { count = try configuration.index(key) }
        guard isNewer else {
            guard !isParallel || count != 2 else { throw configuration.invalid(key, "1 without new_decoder_architecture") }
            norms = ("input_layernorm", isParallel ? "input_layernorm" : "post_attention_layernorm")
            return
        }
        guard isParallel else { throw configuration.invalid("parallel_attn", "true beside new_decoder_architecture") }
        switch count ?? 2 {
        case 1: norms = ("input_layernorm", "input_layernorm")
        case 2: norms = ("ln_attn", "ln_mlp")
        default: throw configuration.invalid(key, "1 or 2")
        }
    }
}
