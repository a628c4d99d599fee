// Windows of text on their way through the blocks of a model as its checkpoint has it.

internal import Failures
internal import LinearAlgebra
internal import MessagePassing
package import Reporting
internal import Sharding
package import Transformers

/// This rank's windows between two blocks. One window is a batch: the shape of every product is then the same for any number of ranks.
package struct DensePass {
    /// Of this rank's windows.
    let states: ResidentBatches
    private let windows: [[Int32]]
    private let own: Range<Int>
    private let forward: Forward
    private let loader: StageWeights
    private let clock: PhaseClock

    /// Embeds this rank's windows. Collective.
    ///
    /// - Parameters:
    ///   - windows: of all ranks.
    ///   - own: this rank's.
    package init(_ windows: [[Int32]], _ own: Range<Int>, _ forward: Forward, _ loader: StageWeights, clock: PhaseClock) throws {
        (self.windows, self.own, self.forward, self.loader, self.clock) = (windows, own, forward, loader, clock)
        let states = ResidentBatches(count: own.count)
        try loader.world.together(exitCode: exitCode) { for (index, window) in own.enumerated() { try states.store(forward.embed([windows[window]]), index) } }
        self.states = states
    }

    /// Takes the windows through all blocks. Collective.
    ///
    /// - Parameters:
    ///   - scores: of a block, is told the outputs of its experts; nil: nothing is.
    ///   - finished: called after each block.
    package func run(scores: (Int) -> ExpertScores? = { _ in nil }, finished: (Int) throws -> Void = { _ in }) throws {
        for (index, block) in forward.architecture.blocks.enumerated() {
            try run(block, scores(index))
            for window in own { clock.count(.evaluate, operations: block.stages.reduce(0) { $0 + $1.operations(lengths: [windows[window].count]) }) }
            try finished(index)
        }
    }

    private func run(_ block: Block, _ scores: ExpertScores?) throws {
        for stage in block.denseStages {
            let weights = try stage.linears.compactMap { try loader.load($0, isNeeded: states.count > 0) }
            try loader.world.together(exitCode: exitCode) { () throws in
                for index in 0..<states.count {
                    var state = try states.load(index)
                    try forward.apply(stage, weights: weights, to: try forward.input(of: stage, state), &state)
                    try states.store(state, index)
                }
            }
        }
        if let mixture = block.mixture { try run(mixture, of: block, scores) }
        for index in 0..<states.count {
            var state = try states.load(index)
            forward.finishBlock(&state)
            try states.store(state, index)
        }
    }

    private func run(_ mixture: Mixture, of block: Block, _ scores: ExpertScores?) throws {
        let pass = try MixturePass(
            block, mixture, storage: states, lengths: windows.map(\.count), forward: forward, scores: scores, world: loader.world, clock: PhaseClock())
        let owned = Assignment(ranks: loader.world.size).experts(costs: pass.routed.counts.totals.map(Double.init))
        try pass.run(owned) { expert in
            let stages = Array(block.stages[mixture.stages(of: expert)])
            let weights = try stages.map { stage in
                let whole = try stage.linears.map { try forward.loadWeights($0) }
                return stage.pieces.map { piece in piece.parts.map { whole[$0.linear].rows($0.rows).packed() } }
            }
            return try ExpertWeights(stages, weights: weights, forward: forward)
        }
    }
}
