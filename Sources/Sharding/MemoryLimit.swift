// What memory a run may take: of a rank, of a host with all its ranks, or of both.

/// The most that may be held, in bytes.
public struct MemoryLimit: Sendable, Equatable {
    /// By one rank, which counts in full what it shares with others.
    public var rank: Int?
    /// By the ranks of a host together, of which what they share counts once.
    public var host: Int?

    public init(rank: Int? = nil, host: Int? = nil) { (self.rank, self.host) = (rank, host) }

    public static let none = MemoryLimit()
    public static func rank(_ bytes: Int) -> MemoryLimit { MemoryLimit(rank: bytes) }
    public static func host(_ bytes: Int) -> MemoryLimit { MemoryLimit(host: bytes) }

    public var isNone: Bool { self == .none }

    /// How much a plan takes of what it may: above 1 it does not keep the limit.
    func use(of plan: MemoryPlan) -> Double { max(Self.share(plan.bound, rank), Self.share(plan.host.bytes, host)) }

    /// Whether a plan goes farther beyond what a host may hold than beyond what a rank may.
    func isShortOfHost(_ plan: MemoryPlan) -> Bool { Self.share(plan.host.bytes, host) > Self.share(plan.bound, rank) }

    private static func share(_ bytes: Int, _ limit: Int?) -> Double { limit.map { Double(bytes) / Double(max($0, 1)) } ?? 0 }
}

extension MemoryModel {
    /// What the ranks of a host hold together, of which each has so many bytes and shares some with the others.
    func hostBytes(_ bytes: Int, shared: Int) -> Int { ranksOfHost * (bytes - shared) + shared }

    /// Whether a phase stays below a limit.
    ///
    /// - Parameters:
    ///   - bytes: of a rank.
    ///   - shared: of these, what the ranks of a host have once.
    func keeps(_ limit: MemoryLimit, _ bytes: Int, shared: Int = 0) -> Bool {
        bytes <= limit.rank ?? .max && hostBytes(bytes, shared: shared) <= limit.host ?? .max
    }
}
