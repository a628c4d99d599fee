// A budget in place of a setting: what the result is held to, and the choices among which each unit of the model gets its own.

internal import Compression
internal import Yams

/// `compress.bits` or `compress.sparsity` as a mapping.
public struct Budget: Sendable, Equatable {
    /// What the result is held to.
    public enum Limit: Sendable, Equatable {
        /// Bits of a weight on average over the linears whose width is chosen: codes, scales and zero points.
        case bits(Double)
        /// Bytes of all tensors of the result.
        case size(Int)
        /// The least share of zeros among the weights of the linears whose share is chosen.
        case sparsity(Double)
    }

    public var limit: Limit
    /// A table of losses that an earlier run has measured; nil: the run's own.
    public var losses: String?
}

/// Settings among which a budget chooses.
enum BudgetChoices {
    /// - groups: nil: the group of the linear's own settings alone.
    case widths([Int], groups: [Int]?)
    /// Shares of zeros, descending: what takes the least room comes first.
    case shares([Double])

    var areWidths: Bool { if case .widths = self { true } else { false } }

    /// As many as a linear may have: each is solved once for every linear of the model.
    static let most = 12
    /// Shares where the recipe names none.
    static let shares = (1...9).map { Double($0) / 10 }
}

extension Budget {
    /// The keys of a budget in the place of either setting.
    static let keysOfBits = ["average", "size", "choices", "groups", "losses"], keysOfSparsity = ["average", "choices", "losses"]

    /// - Parameter bits: the value of `compress.bits`.
    init(bits mapping: YAMLMapping) throws(RecipeError) {
        switch (try mapping.number("average", in: 2...16), try mapping.byteCount("size")) {
        case (let average?, nil): limit = .bits(average)
        case (nil, let size?): limit = .size(size)
        default:
            throw mapping.error("average", "`\(mapping.path)` needs `average`, bits of a weight such as 3.25, or `size`, bytes of the result such as 20GB")
        }
        losses = try mapping.string("losses")
    }

    /// - Parameter sparsity: the value of `compress.sparsity`.
    init(sparsity mapping: YAMLMapping) throws(RecipeError) {
        guard let average = try mapping.share("average") else {
            throw mapping.error("average", "`\(mapping.path)` needs `average`, a share of zeros such as 0.5")
        }
        limit = .sparsity(average)
        losses = try mapping.string("losses")
    }
}

extension Budget {
    /// - Throws: where even the choice that takes the least room takes more, so that nobody waits for losses that could not be spent.
    func check(_ choices: BudgetChoices, _ mapping: YAMLMapping) throws(RecipeError) {
        switch (limit, choices) {
        case (.bits(let average), .widths(let widths, _)):
            guard let least = widths.first, average < Double(least) else { return }
            throw mapping.error(
                "average", "`\(mapping.path).average` is \(average), below the smallest of its choices, \(least) bits: raise it, or allow fewer bits")
        case (.sparsity(let average), .shares(let shares)):
            guard let most = shares.first, average > most else { return }
            throw mapping.error(
                "average", "`\(mapping.path).average` is \(average), above the largest of its choices, \(most): lower it, or allow larger shares")
        default: return
        }
    }
}

extension BudgetChoices {
    init(bits mapping: YAMLMapping) throws(RecipeError) {
        let bits = try mapping.integers("choices", of: Treatment.widths) ?? Treatment.widths
        let groups = try mapping.integers("groups", of: Treatment.groups)
        self = .widths(bits, groups: groups)
        try check(bits.count * (groups?.count ?? 1), "`choices` and `groups` together", mapping)
    }

    init(sparsity mapping: YAMLMapping) throws(RecipeError) {
        let shares = try mapping.shares("choices") ?? Self.shares
        self = .shares(shares.reversed())
        try check(shares.count, "`choices`", mapping)
    }

    private func check(_ count: Int, _ what: String, _ mapping: YAMLMapping) throws(RecipeError) {
        guard (2...Self.most).contains(count) else {
            throw mapping.error("choices", "`\(mapping.path)` must leave from 2 to \(Self.most) choices of \(what), found \(count)")
        }
    }
}
