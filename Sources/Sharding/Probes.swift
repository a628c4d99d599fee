// How the sensitivity of each unit is measured: probes, forward passes of few tokens in which one unit alone is compressed, and who runs them.

internal import Recipes
internal import Transformers

/// The probes of some units on some ranks: each window of tokens passes the model once for each unit, and once as it is.
public struct Probes: Sendable {
    /// Windows of a probe, and tokens of each at the most: enough that units are told apart, few enough that probes cost about as much as a calibration.
    public static let windows = 8, length = 64
    /// Consecutive units whose windows go to a block's experts together. Fixed, since what goes to an expert together decides the shapes of its products.
    public static let unitsOfPass = 16

    public let units: Int
    public let windowCount: Int
    public let ranks: Int
    /// Whether ranks may share the units of a window; each then runs the window through the model as it is, too, which a mixture of experts would see.
    public let sharesWindows: Bool

    public init(units: Int, windows: Int, ranks: Int, sharesWindows: Bool) {
        (self.units, windowCount, self.ranks, self.sharesWindows) = (units, windows, ranks, sharesWindows)
    }

    /// The windows that a rank runs, each with the places of its units.
    public func shares(of rank: Int) -> [(window: Int, units: Range<Int>)] {
        let assignment = Assignment(ranks: ranks)
        guard sharesWindows else { return assignment.batches(of: rank, count: windowCount).map { ($0, 0..<units) } }
        // Window after window, and for each of them unit after unit.
        let passes = assignment.batches(of: rank, count: windowCount * units)
        guard !passes.isEmpty else { return [] }
        return (passes.lowerBound / units...(passes.upperBound - 1) / units).map { window in
            let own = passes.clamped(to: window * units..<(window + 1) * units)
            return (window, own.lowerBound - window * units..<own.upperBound - window * units)
        }
    }

    /// The most windows that a rank holds at a time, those of the model as it is among them.
    public var mostStates: Int { (0..<ranks).map { rank in shares(of: rank).reduce(0) { $0 + $1.units.count + 1 } }.max() ?? 0 }
}

extension Plan {
    /// Windows of each probe, and tokens of each.
    public var probeWindows: (count: Int, length: Int) {
        guard let calibration = recipe.calibration else { return (0, 0) }
        return (min(Probes.windows, calibration.sequences), min(Probes.length, calibration.length))
    }

    /// The calibration sequences whose first tokens are the windows of probes: evenly spaced ones.
    public var probedSequences: [Int] {
        let (count, sequences) = (probeWindows.count, recipe.calibration?.sequences ?? 0)
        return (0..<count).map { $0 * sequences / count }
    }

    /// Multiplications and additions of all probes: of each unit those of its block and all after it, and of the head.
    public var probeOperations: Double {
        let (count, length) = probeWindows
        guard !units.isEmpty, count > 0 else { return 0 }
        let blocks = (0..<architecture.blockCount).map { index in architecture.block(index).stages.reduce(0) { $0 + $1.operations(lengths: [length]) } }
        let head = 2 * Double(architecture.head.linear.rows) * Double(architecture.head.linear.columns) * Double(length)
        return Double(count) * units.reduce(head + blocks.reduce(0, +)) { $0 + head + blocks[$1.block...].reduce(0, +) }
    }

    /// The probes of so many of the plan's units.
    public func probes(units: Int, ranks: Int) -> Probes {
        Probes(units: units, windows: probeWindows.count, ranks: ranks, sharesWindows: !architecture.hasExperts)
    }

    /// Units whose probes run side by side: as many as keep no more tokens on a rank than its calibration does, and fewer to keep a limit.
    func probesAtOnce(_ model: MemoryModel, _ limit: MemoryLimit) -> (units: Int, bytes: Int) {
        func states(_ units: Int) -> Int { probes(units: units, ranks: model.assignment.ranks).mostStates }
        let all = units.count, pass = architecture.hasExperts ? Probes.unitsOfPass : 1
        var passes = (all + pass - 1) / pass
        while passes > 1, states(passes * pass) * probeWindows.length > model.rankTokens || !model.keeps(limit, model.probe(states: states(passes * pass))) {
            passes = (passes + 1) / 2
        }
        let count = min(passes * pass, all)
        return (count, model.probe(states: states(count)))
    }
}
