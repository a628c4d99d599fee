// A budget of bits: how much the weights of a result may take, and among which widths each unit's is chosen.

internal import Yams

/// `compress.bits` as a mapping: a limit in place of a width.
public struct BitBudget: Sendable, Equatable {
    /// What the result is held to.
    public enum Limit: Sendable, Equatable {
        /// Bits of a weight on average over the linears whose width is chosen: codes, scales and zero points.
        case average(Double)
        /// Bytes of all tensors of the result.
        case size(Int)
    }

    public var limit: Limit
    /// A table of losses that an earlier run has measured; nil: the run's own.
    public var losses: String?
}

/// Widths and groups among which a unit's are chosen.
struct BitChoices {
    var bits: [Int]
    /// nil: the group of the linear's own settings alone.
    var groups: [Int]?

    /// As many as a linear may have: each is solved once for every linear of the model.
    static let most = 12
}

extension BitBudget {
    static let keys = ["average", "size", "choices", "groups", "losses"]

    /// - Parameter mapping: the value of `compress.bits`.
    init(_ mapping: YAMLMapping) throws(RecipeError) {
        switch (try mapping.number("average", in: 2...16), try mapping.byteCount("size")) {
        case (let average?, nil): limit = .average(average)
        case (nil, let size?): limit = .size(size)
        default:
            throw mapping.error("average", "`\(mapping.path)` needs `average`, bits of a weight such as 3.25, or `size`, bytes of the result such as 20GB")
        }
        losses = try mapping.string("losses")
    }
}

extension BitChoices {
    init(_ mapping: YAMLMapping) throws(RecipeError) {
        bits = try mapping.integers("choices", of: Treatment.widths) ?? Treatment.widths
        groups = try mapping.integers("groups", of: Treatment.groups)
        let count = bits.count * (groups?.count ?? 1)
        guard (2...Self.most).contains(count) else {
            throw mapping.error(
                "choices", "`\(mapping.path)` must leave from 2 to \(Self.most) choices of `choices` and `groups` together, found \(count)")
        }
    }
}
