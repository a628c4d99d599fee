// Causal self-attention as data.

/// Causal self-attention over the outputs of a `qkv` stage.
public struct Attention: Sendable, Equatable, Codable {
    /// Where queries, keys and values lie in the outputs of the stage's linears.
    public enum Layout: String, Sendable, Codable {
        /// Three linears: queries, keys, values, each [tokens, heads * headSize].
        case separate
        /// One linear [tokens, 3 * heads * headSize]: all queries, all keys, all values (GPT-2).
        case thirds
        /// One linear [tokens, heads * 3 * headSize]: query, key and value of each head together (GPT-NeoX).
        case perHead
    }

    public let layout: Layout
    public let heads: Int
    /// Divides `heads`; each serves `heads / keyValueHeads` consecutive query heads (Ainslie et al. 2023).
    public let keyValueHeads: Int
    public let headSize: Int
    /// Factor of the scores.
    public let scale: Float
    /// A token sees itself and `window - 1` tokens before it; nil: all before it.
    public let window: Int?
    public let rotary: Rotary?
    /// Normalisation of each head's query and key, before rotation.
    public let queryNorm: Norm?
    public let keyNorm: Norm?

    /// Columns of the heads' contexts.
    var contextColumns: Int { heads * headSize }
}
