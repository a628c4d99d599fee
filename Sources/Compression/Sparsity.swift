// How many of a layer's weights become zero.

/// The share of weights that are pruned, or the pattern in which they lie.
public enum Sparsity: Sendable, Hashable {
    /// A share of the weights that are compared with each other, above 0 and below 1.
    case share(Double)
    /// `pruned` of every `of` neighbouring columns of a row. The first number counts zeros, as in SparseGPT's `prunen:prunem`.
    case pattern(pruned: Int, of: Int)
}

extension Sparsity: LosslessStringConvertible {
    /// Reads `0.5` or `2:4`; nil for anything else, and for numbers out of range.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 2, let pruned = Int(parts[0]), let of = Int(parts[1]), 0 < pruned, pruned < of {
            self = .pattern(pruned: pruned, of: of)
        } else if let share = Double(text), 0 < share, share < 1 {
            self = .share(share)
        } else {
            return nil
        }
    }

    public var description: String {
        switch self {
        case .share(let share): "\(share)"
        case .pattern(let pruned, let of): "\(pruned):\(of)"
        }
    }
}

/// Written as the text that recipes use.
extension Sparsity: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let sparsity = Sparsity(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "`\(text)` is no sparsity")
        }
        self = sparsity
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
