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

    /// What a head's columns hold.
    enum Role {
        case query
        case key
        case value
    }

    /// Where a head (a key-value head for keys and values) lies: which of the stage's outputs, and which of its columns.
    func place(_ role: Role, head: Int) -> (output: Int, columns: Range<Int>) {
        let part =
            switch role {
            case .query: 0
            case .key: 1
            case .value: 2
            }
        let (output, index) =
            switch layout {
            case .separate: (part, head)
            case .thirds: (0, part * heads + head)
            case .perHead: (0, 3 * head + part)
            }
        return (output, index * headSize..<(index + 1) * headSize)
    }

    /// Columns of the heads' contexts.
    var contextColumns: Int { heads * headSize }
}
