// The parts of a run whose time is told apart.

/// What a rank can be doing.
public enum Phase: String, CaseIterable, Sendable, Codable {
    case plan, read, forward, exchange, hessian, reduce, factor, solve, gather, commit, merge, verify, evaluate
}

/// Seconds of one rank by phase, and the arithmetic done in them. Phases do not nest.
public final class PhaseClock {
    public private(set) var seconds: [Phase: Double] = [:]
    /// Multiplications and additions that the phase could not avoid.
    public private(set) var operations: [Phase: Double] = [:]

    public init() {}

    public func count(_ phase: Phase, operations count: Double) {
        operations[phase, default: 0] += count
    }

    /// Runs `body` and adds its time to `phase`.
    public func measure<R, E: Error>(_ phase: Phase, _ body: () throws(E) -> R) throws(E) -> R {
        let start = ContinuousClock.now
        defer { seconds[phase, default: 0] += start.duration(to: .now) / .seconds(1) }
        return try body()
    }
}
