// Causal self-attention as data.

/// Causal self-attention over the outputs of a `qkv` stage; the heads' contexts are left for the next one.
public struct Attention: Sendable, Hashable {
    /// Where queries, keys and values lie in the outputs of the stage's linears.
    public enum HeadLayout: Sendable {
        /// Three linears: queries, keys, values, each [tokens, heads * headSize].
        case separate
        /// One linear [tokens, (heads + 2 * keyValueHeads) * headSize]: all queries, all keys, all values (GPT-2, Phi-3).
        case fused
        /// One linear of as many rows: for each key-value head its queries, its key and its value (GPT-NeoX, Falcon).
        case perGroup
    }

    public internal(set) var layout: HeadLayout
    public internal(set) var heads: Int
    /// Divides `heads`; each serves `heads / keyValueHeads` consecutive query heads (Ainslie et al. 2023).
    public internal(set) var keyValueHeads: Int
    public let headSize: Int
    /// Factor of the scores.
    public let scale: Float
    /// A token sees itself and `window - 1` tokens before it; nil: all before it.
    public let window: Int?
    public let rotary: Rotary?
    /// Normalisation of each head's query and key, or of all heads together, before rotation.
    public internal(set) var queryNorm: Norm?
    public internal(set) var keyNorm: Norm?

    /// The largest magnitude of queries, keys and values, to which others are cut after the normalisation; nil: any.
    public internal(set) var clip: Float? = nil
    /// Scaled scores x become c tanh(x / c); nil: they stay.
    public internal(set) var softcap: Float? = nil
    /// Of each head of the stage, a score beside those of the keys, which takes its share of the probabilities and gives nothing: [heads]; nil: none.
    var sinks: ExpectedTensor? = nil
    /// Whether the linear of queries gives each head a gate behind its query, whose sigmoid multiplies the head's context.
    var isGated = false
    /// Of queries and keys after the rotation: x / sqrt(mean of x^2 + this); nil: they stay.
    var rotatedNormEpsilon: Float? = nil
    /// Added to the scaled scores; nil: nothing.
    var bias: LinearBias? = nil
    /// The place of the first key-value head among those of the stage.
    var firstKeyValueHead = 0

    /// Query heads that a key-value head serves.
    var shared: Int { heads / keyValueHeads }

    /// What a head's columns hold.
    enum Role {
        case query
        case gate
        case key
        case value
    }

    /// Where a head (a key-value head for keys and values) lies: which of the stage's outputs, and which of its columns.
    func place(_ role: Role, head: Int) -> (output: Int, columns: Range<Int>) {
        let part =
            switch role {
            case .query, .gate: 0
            case .key: 1
            case .value: 2
            }
        let (output, index) =
            switch layout {
            case .separate where isGated && part == 0: (0, 2 * head + (role == .gate ? 1 : 0))
            case .separate: (part, head)
            case .fused: (0, part == 0 ? head : heads + (part - 1) * keyValueHeads + head)
            case .perGroup: (0, role == .query ? head / shared * (shared + 2) + head % shared : head * (shared + 2) + shared + part - 1)
            }
        return (output, index * headSize..<(index + 1) * headSize)
    }

    /// Columns of the heads' contexts.
    var contextColumns: Int { heads * headSize }
}
