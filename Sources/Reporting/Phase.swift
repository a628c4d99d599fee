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

    /// Hears of everything that is measured.
    public var trace: TraceFile?
    /// The stage that is worked on.
    private var place: (block: Int, stage: String, since: ContinuousClock.Instant)?

    public init() {}

    /// A stage is about to be worked on.
    public func enter(block: Int, stage: String) {
        leave()
        place = (block, stage, .now)
    }

    /// The stage that was worked on is done.
    public func leave() {
        guard let left = place else { return }
        trace?.add("block \(left.block + 1) \(left.stage)", kind: "stage", block: left.block, stage: left.stage, from: left.since, to: .now)
        place = nil
    }

    public func count(_ phase: Phase, operations count: Double) {
        operations[phase, default: 0] += count
    }

    /// Runs `body` and adds its time to `phase`.
    public func measure<R, E: Error>(_ phase: Phase, _ body: () throws(E) -> R) throws(E) -> R {
        let start = ContinuousClock.now
        defer {
            let end = ContinuousClock.now
            seconds[phase, default: 0] += start.duration(to: end) / .seconds(1)
            trace?.add(phase.rawValue, kind: "phase", block: place?.block, stage: place?.stage, from: start, to: end)
        }
        return try body()
    }
}
