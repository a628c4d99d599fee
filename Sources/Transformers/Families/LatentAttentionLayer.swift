// Multi-head latent attention in the families that have it: what config.json says of it, and its stages.

/// Latent attention of a model, the same in every block: queries, keys and values come from short vectors (DeepSeek-V2, Liu et al. 2024, section 2.1).
struct LatentAttentionLayer: AttentionHalf {
    /// Of the norms of the short vectors; transformers takes no other.
    private static let epsilon: Float = 1e-6

    private let hidden: Int
    private let heads: Int
    /// Elements of the vector that queries come from; nil: they come from the input itself.
    private let queryRank: Int?
    private let keyValueRank: Int
    private let plainSize: Int
    private let rotatedSize: Int
    private let valueSize: Int
    private let scale: Float
    private let rotary: Rotary?
    private let hasBias: Bool

    /// What differs from family to family.
    struct Defaults {
        /// Of `num_key_value_heads`; nil: as many as of queries.
        var keyValueHeads: Int?
        var takesNullKeyValueHeads = true
        /// Of `q_lora_rank`, `kv_lora_rank`, `qk_nope_head_dim`, `qk_rope_head_dim` and `v_head_dim`.
        var queryRank: Int
        var keyValueRank = 512
        var plainSize = 128
        var rotatedSize = 64
        var valueSize = 128
        /// Whether a null as `q_lora_rank` stands for queries that come from the input itself.
        var takesNullQueryRank = true
        /// Whether neighbours are rotated together, where config.json may say otherwise; nil: they are, and it may not.
        var isInterleaved: Bool?
        /// Whether transformers takes `head_dim` for `qk_rope_head_dim` where it is there.
        var readsHeadSize = false
        /// Whether transformers takes a share of elements that are rotated, also while frequencies are not scaled.
        var readsShare = false
    }

    /// The keys of config.json that are read here.
    static let keys = Rotary.Spelling.whole.keys.union([
        "attention_bias", "head_dim", "kv_lora_rank", "llama_4_scaling", "num_attention_heads", "num_key_value_heads", "q_lora_rank", "qk_nope_head_dim",
        "qk_rope_head_dim", "rope_interleave", "v_head_dim",
    ])

    init(_ configuration: Configuration, _ defaults: Defaults) throws(ArchitectureError) {
        hidden = try configuration.count("hidden_size")
        heads = try configuration.count("num_attention_heads")
        let keyValueHeads =
            defaults.takesNullKeyValueHeads
            ? try configuration.optionalCount("num_key_value_heads", default: defaults.keyValueHeads) ?? heads
            : try configuration.count("num_key_value_heads", default: defaults.keyValueHeads)
        guard keyValueHeads == heads else {
            throw configuration.invalid("num_key_value_heads", "\(heads), as `num_attention_heads`: every head has keys and values of its own")
        }
        queryRank =
            defaults.takesNullQueryRank
            ? try configuration.optionalCount("q_lora_rank", default: defaults.queryRank) : try configuration.count("q_lora_rank", default: defaults.queryRank)
        keyValueRank = try configuration.count("kv_lora_rank", default: defaults.keyValueRank)
        plainSize = try configuration.count("qk_nope_head_dim", default: defaults.plainSize)
        rotatedSize = try configuration.count("qk_rope_head_dim", default: defaults.rotatedSize)
        valueSize = try configuration.count("v_head_dim", default: defaults.valueSize)
        guard rotatedSize % 2 == 0 else { throw configuration.invalid("qk_rope_head_dim", "even") }
        if defaults.readsHeadSize, try configuration.has("head_dim"), try configuration.count("head_dim") != rotatedSize {
            throw configuration.invalid("head_dim", "\(rotatedSize), as `qk_rope_head_dim`")
        }
        // Of Mistral's models of this shape: a factor of queries that grows with their position.
        try configuration.refuse("llama_4_scaling")
        hasBias = try configuration.flag("attention_bias", default: false)
        let isInterleaved: Bool
        if let usual = defaults.isInterleaved {
            isInterleaved = try configuration.flag("rope_interleave", default: usual)
        } else {
            try configuration.require("rope_interleave", true)
            isInterleaved = true
        }
        rotary = try Rotary.read(
            configuration, headSize: rotatedSize, Rotary.Spelling(passesOverShare: !defaults.readsShare, isInterleaved: isInterleaved))
        scale = Float(try Rotary.scoreFactor(configuration) / Double(plainSize + rotatedSize).squareRoot())
    }

    func stages(_ block: String, input: StageInput, output addition: Addition, index: Int) -> [Stage] {
        let name = "\(block).self_attn"
        func linear(_ suffix: String, _ rows: Int, _ columns: Int, bias: Bool = false) -> Linear {
            Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: bias)
        }
        func norm(_ suffix: String, of part: ValuePart) -> StageInput {
            .norm(.rootMeanSquare("\(name).\(suffix)", size: part.columns.count, epsilon: Self.epsilon), of: part)
        }
        let queryRows = heads * (plainSize + rotatedSize)
        let query = queryRank.map { linear("q_a_proj", $0, hidden, bias: hasBias) } ?? linear("q_proj", queryRows, hidden)
        let keyValue = linear("kv_a_proj_with_mqa", keyValueRank + rotatedSize, hidden, bias: hasBias)
        let latent = Stage(name: queryRank == nil ? "q+kv latent" : "latents", input: input, linears: [query, keyValue], effect: Projection())
        guard case .value(let latents) = latent.destination else { preconditionFailure("a projection that leaves nothing") }
        let (middle, end) = (query.rows, query.rows + keyValueRank)
        var stages = [latent]
        var queries = ValuePart(latents, columns: 0..<middle)
        if let queryRank {
            let stage = Stage(
                name: "q", input: norm("q_a_layernorm", of: queries), linears: [linear("q_b_proj", queryRows, queryRank)], effect: Projection())
            guard case .value(let value) = stage.destination else { preconditionFailure("a projection that leaves nothing") }
            queries = ValuePart(value)
            stages.append(stage)
        }
        let attention = LatentAttention(
            heads: heads, plainSize: plainSize, rotatedSize: rotatedSize, valueSize: valueSize, scale: scale, rotary: rotary, queries: queries,
            sharedKey: ValuePart(latents, columns: end..<latents.columns))
        let values = Stage(
            name: "kv", input: norm("kv_a_layernorm", of: ValuePart(latents, columns: middle..<end)),
            linears: [linear("kv_b_proj", heads * (plainSize + valueSize), keyValueRank)], effect: attention)
        let output = Stage(
            name: "attention output", after: values, linears: [linear("o_proj", hidden, heads * valueSize, bias: hasBias)], effect: addition)
        return stages + [values, output]
    }
}
