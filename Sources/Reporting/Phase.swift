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

    /// Hears of everything that is measured, also of what was before there was a file for it.
    public var trace: TraceFile? {
        didSet {
            for span in early { trace?.add(span) }
            if trace != nil { awaitsTrace = false }
            early = []
        }
    }
    /// Whether there will be a trace.
    private var awaitsTrace: Bool
    private var early: [TraceFile.Span] = []
    /// When the first rank's trace can begin.
    public let began = ContinuousClock.now
    /// The part of the run that is worked on.
    private var part: (part: RunEvent.Part, since: ContinuousClock.Instant)?
    /// The stage that is worked on.
    private var place: (block: Int, stage: String, since: ContinuousClock.Instant)?

    /// - Parameter awaitsTrace: whether a trace will be set, which also hears of what is measured until then.
    public init(awaitsTrace: Bool = false) { self.awaitsTrace = awaitsTrace }

    /// A part of the run begins.
    public func begin(_ part: RunEvent.Part) {
        end()
        self.part = (part, .now)
    }

    /// The part that was worked on is done.
    public func end() {
        leave()
        guard let part else { return }
        tell(TraceFile.Span(name: part.part.rawValue, kind: .part, from: part.since, to: .now))
        self.part = nil
    }

    private func tell(_ span: TraceFile.Span) {
        if let trace { trace.add(span) } else if awaitsTrace { early.append(span) }
    }

    /// A stage is about to be worked on.
    public func enter(block: Int, stage: String) {
        leave()
        place = (block, stage, .now)
    }

    /// The stage that was worked on is done.
    public func leave() {
        guard let left = place else { return }
        tell(TraceFile.Span(name: "block \(left.block + 1) \(left.stage)", kind: .stage, block: left.block, stage: left.stage, from: left.since, to: .now))
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
            tell(TraceFile.Span(name: phase.rawValue, kind: .phase, block: place?.block, stage: place?.stage, from: start, to: end))
        }
        return try body()
    }
}
