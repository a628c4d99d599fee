// A block of a transformer as data: the stages that a batch passes, in order.

/// An ordered list of stages that reads and updates the residual stream.
public struct Block: Sendable, Equatable {
    public let index: Int
    /// What transformers calls it: "model.layers.3".
    public let name: String
    /// In the order in which a batch passes them; those of experts are last, expert after expert, and a token passes those of a few.
    public let stages: [Stage]
    /// The experts with which the block ends; nil: none.
    public let mixture: Mixture?

    /// - Parameter router: of the experts, whose stages are then the last of `stages`.
    init(index: Int, name: String, stages: [Stage], router: Router? = nil) {
        self.index = index
        self.name = name
        if let router {
            let first = stages.count - router.experts * Mixture.stagesOfExpert
            mixture = Mixture(router: router, input: stages[first].input, firstStage: first)
        } else {
            mixture = nil
        }
        self.stages = Self.withLifetimes(stages, dense: mixture?.firstStage ?? stages.count)
    }

    /// The same stages, each of which knows which values it is the last to read, and what rests meanwhile.
    ///
    /// - Parameter dense: the number of stages that every token passes; what rests beside experts is the mixture's.
    private static func withLifetimes(_ stages: [Stage], dense: Int) -> [Stage] {
        var read: Set<Value> = []
        let lastReads = stages.reversed().map { stage in stage.reads.filter { read.insert($0).inserted } }
        var resting: Set<Value> = []
        return zip(stages, lastReads.reversed()).enumerated().map { place, stage in
            let (stage, lastReads) = stage
            guard place < dense else { return stage.with(lastReads: lastReads, restingColumns: 0, leftColumns: 0) }
            let restingColumns = resting.subtracting([stage.input.value]).reduce(0) { $0 + $1.columns }
            resting.subtract(lastReads)
            if case .value(let value) = stage.destination { resting.insert(value) }
            if !lastReads.contains(stage.input.value) { resting.insert(stage.input.value) }
            return stage.with(lastReads: lastReads, restingColumns: restingColumns, leftColumns: resting.reduce(0) { $0 + $1.columns })
        }
    }

    /// The stages that every token passes.
    public var denseStages: ArraySlice<Stage> { stages[..<(mixture?.firstStage ?? stages.count)] }

    /// The linears that are never compressed: routers, and those of operations.
    public var plainLinears: [Linear] { stages.flatMap(\.effect.ownLinears) + (mixture.map { [$0.router.linear] } ?? []) }

    /// The expert to which a stage belongs; nil where every token passes it.
    public func expert(ofStage place: Int) -> Int? {
        mixture.flatMap { place < $0.firstStage ? nil : (place - $0.firstStage) / Mixture.stagesOfExpert }
    }
}
