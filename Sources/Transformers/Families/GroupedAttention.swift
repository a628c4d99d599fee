// Grouped-query attention with rotation, as most gated decoders have it.

/// What distinguishes the families that have it.
struct GroupedAttention {
    var queryKeyValueBias = false
    var outputBias = false
    var norms = HeadNorms.none
    /// The largest magnitude of queries, keys and values; nil: any.
    var clip: Float?
    var headSize = HeadSize.optional
    /// Heads of keys and values where config.json does not say; nil: as many as of queries.
    var defaultKeyValueHeads: Int?
    /// Whether a null stands for as many as of queries.
    var takesNullKeyValueHeads = true
    /// Whether transformers scales frequencies with `head_dim` as config.json has it, and fails where it is not there.
    var scalesRotationBySize = false
    var rotation = Rotary.Spelling.whole
    /// The rotation of blocks with a window, where it is another than that of blocks without.
    var windowRotation = WindowRotation.same
    /// Whether queries, keys and values are one linear, `qkv_proj`.
    var isFused = false
    var normKind = Norm.Kind.rootMeanSquare
    /// Factor of the scores; nil: 1 / sqrt(size of a head).
    var scale: Float?
    /// Scores x become c tanh(x / c); nil: they stay.
    var softcap: Float?
    /// Whether each head has a sink, and a gate.
    var hasSinks = false
    var isGated = false
    /// Whether queries and keys are normalised without weights where they are rotated.
    var normalisesRotated = false
    /// Blocks that are not rotated.
    var unrotated: Set<Int> = []
    /// The attention window of each block.
    var windows: [Int?]

    enum WindowRotation {
        case same
        case other(Rotary?)
        /// Blocks without a window are not rotated.
        case alone
    }

    /// What of queries and keys is normalised.
    enum HeadNorms {
        case none
        /// Each head by itself.
        case perHead
        /// Each head by itself, with weights of its own.
        case ownPerHead
        /// All heads together.
        case wholeWidth
    }

    /// What transformers takes for `head_dim`.
    enum HeadSize {
        /// Absent or null: the hidden size divided among the heads.
        case optional
        /// As `optional`, and the heads must divide the hidden size all the same.
        case dividingHidden
        /// Absent: the hidden size divided among the heads. A null makes transformers fail.
        case numberOrAbsent
        /// A number, with a default.
        case number(default: Int)
        /// The same, and the heads must divide the hidden size all the same.
        case numberDividingHidden(default: Int)
        /// A number, which must be there.
        case required
    }
}

/// Grouped-query attention of a model: the same in every block, but for the window.
struct GroupedAttentionLayer: AttentionHalf {
    private let family: GroupedAttention
    private let hidden: Int
    private let epsilon: Float
    private let heads: HeadCounts
    private let rotary: Rotary?

    init(_ configuration: Configuration, _ family: GroupedAttention, hidden: Int, epsilon: Float) throws(ArchitectureError) {
        self.family = family
        self.hidden = hidden
        self.epsilon = epsilon
        let keyValueHeads =
            family.takesNullKeyValueHeads
            ? try configuration.optionalCount("num_key_value_heads", default: family.defaultKeyValueHeads)
            : try configuration.count("num_key_value_heads", default: family.defaultKeyValueHeads)
        let (headSize, dividesHidden): (Int?, Bool) =
            switch family.headSize {
            case .optional: (try configuration.optionalCount("head_dim"), false)
            case .dividingHidden: (try configuration.optionalCount("head_dim"), true)
            case .numberOrAbsent: (try configuration.has("head_dim") ? try configuration.count("head_dim") : nil, false)
            case .required: (try configuration.count("head_dim"), false)
            case .number(let fallback): (try configuration.count("head_dim", default: fallback), false)
            case .numberDividingHidden(let fallback): (try configuration.count("head_dim", default: fallback), true)
            }
        heads = try HeadCounts(
            configuration, headsKey: "num_attention_heads", hiddenSize: hidden, keyValueHeads: keyValueHeads, size: headSize, dividesHidden: dividesHidden)
        guard heads.size % 2 == 0 else { throw configuration.invalid("head_dim", "even, and heads have \(heads.size) elements") }
        rotary = try Rotary.read(configuration, headSize: heads.size, family.rotation)
        if family.scalesRotationBySize, headSize == nil, rotary?.scaling.needsHeadSize == true {
            throw configuration.invalid("head_dim", "a number beside this type of rotation, without which transformers fails")
        }
    }

    func stages(_ block: String, input: StageInput, output addition: Addition, index: Int) -> [Stage] {
        let name = "\(block).self_attn"
        let (queryRows, keyRows) = (heads.heads * heads.size, heads.keyValueHeads * heads.size)
        let rows =
            family.isFused
            ? [("qkv_proj", queryRows + 2 * keyRows)] : [("q_proj", family.isGated ? 2 * queryRows : queryRows), ("k_proj", keyRows), ("v_proj", keyRows)]
        let linears = rows.map { suffix, rows in Linear("\(name).\(suffix)", rows: rows, columns: hidden, bias: family.queryKeyValueBias) }
        let window = family.windows[index]
        let attention = Attention(
            layout: family.isFused ? .fused : .separate, heads: heads.heads, keyValueHeads: heads.keyValueHeads, headSize: heads.size,
            scale: family.scale ?? heads.scale, window: window, rotary: family.unrotated.contains(index) ? nil : rotary(window),
            queryNorm: headNorm("\(name).q_norm", heads.heads),
            keyNorm: headNorm("\(name).k_norm", heads.keyValueHeads), clip: family.clip, softcap: family.softcap,
            sinks: family.hasSinks ? ExpectedTensor(name: "\(name).sinks", shape: [heads.heads]) : nil, isGated: family.isGated,
            rotatedNormEpsilon: family.normalisesRotated && !family.unrotated.contains(index) ? epsilon : nil)
        let qkv = Stage(name: "qkv", input: input, linears: linears, effect: attention)
        let output = Linear("\(name).o_proj", rows: hidden, columns: queryRows, bias: family.outputBias)
        return [qkv, Stage(name: "attention output", after: qkv, linears: [output], effect: addition)]
    }

    private func rotary(_ window: Int?) -> Rotary? {
        switch (family.windowRotation, window) {
        case (.same, _), (.other, nil), (.alone, .some): rotary
        case (.other(let other), .some): other
        case (.alone, nil): nil
        }
    }

    /// - Parameter count: heads that are normalised together, or each with weights of its own.
    private func headNorm(_ name: String, _ count: Int) -> Norm? {
        switch family.norms {
        case .none: nil
        case .perHead: .plain(family.normKind, name, size: heads.size, epsilon: epsilon)
        case .ownPerHead: .plain(family.normKind, name, size: heads.size, epsilon: epsilon, heads: count)
        case .wholeWidth: .plain(family.normKind, name, size: count * heads.size, epsilon: epsilon)
        }
    }
}
