// What report.json says of a block's experts.

/// How the calibration's tokens fell to the experts of a block.
public struct MixtureReport: Codable, Sendable, Equatable {
    /// The block's name.
    public var block: String
    public var experts: Int
    /// Tokens that the router sent to an expert.
    public var leastTokens: Int
    public var medianTokens: Int
    public var mostTokens: Int
    /// Experts that got fewer than `minimumTokens`, and the tokens that all of them borrowed for their Hessians.
    public var minimumTokens: Int
    public var starvedExperts: Int
    public var borrowedTokens: Int
    /// Tokens of the rank that had the most, as a multiple of the mean over ranks; nil where an earlier attempt did the work.
    public var balance: Double?
    /// Of each expert: the tokens that the router sent to it, and those that it borrowed.
    public var routedTokens: [Int]?
    public var borrowedByExpert: [Int]?

    /// - Parameters:
    ///   - routed: tokens that the router sent to each expert.
    ///   - summed: those that entered its first Hessian.
    ///   - minimum: below which an expert is starved.
    public init(block: String, routed: [Int], summed: [Int], minimum: Int, balance: Double?) {
        self.block = block
        experts = routed.count
        let sorted = routed.sorted()
        (leastTokens, mostTokens) = (sorted.first ?? 0, sorted.last ?? 0)
        medianTokens = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
        minimumTokens = minimum
        starvedExperts = routed.count { $0 < minimum }
        self.balance = balance
        routedTokens = routed
        let borrowed = zip(routed, summed).map { max($1 - $0, 0) }
        borrowedTokens = borrowed.reduce(0, +)
        borrowedByExpert = borrowed
    }
}

extension [MixtureReport] {
    /// One line for all blocks; nil without experts.
    public var summary: String? {
        guard !isEmpty else { return nil }
        let experts = reduce(0) { $0 + $1.experts }, starved = reduce(0) { $0 + $1.starvedExperts }, borrowed = reduce(0) { $0 + $1.borrowedTokens }
        let medians = map(\.medianTokens).sorted()
        let balance = compactMap(\.balance).max().map { ", the busiest rank had \(format($0, digits: 2)) times the mean" } ?? ""
        let short = starved == 0 ? "" : "; \(starved) of \(experts) got fewer than \(self[0].minimumTokens)"
        let (least, most) = (map(\.leastTokens).min() ?? 0, map(\.mostTokens).max() ?? 0)
        return "experts got \(least) to \(most) tokens, \(medians[medians.count / 2]) in the middle\(balance)\(short)"
            + (borrowed > 0 ? ", and borrowed \(borrowed) of their layers for their Hessians" : "")
    }
}
