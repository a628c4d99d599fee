// Perplexity over ranks.

internal import Glibc
internal import LinearAlgebra
public import MessagePassing
public import Reporting
public import Transformers
internal import Sharding

/// Runs non-overlapping windows through a model block by block; windows are spread over the ranks.
///
/// The definition is that of `gptq/llama.py`: each window predicts its tokens but the first, the mean over windows of the mean negative
/// log-likelihood is exponentiated.
/// - Parameter stop: asked after every block.
/// - Returns: the same result on every rank, the same bits for any number of ranks.
/// - Throws: an `AgreedFailure` with exit code 65 also when the model's files have changed meanwhile.
public func evaluate(_ model: Model, _ tokens: TokenSequences, compute: Compute, stop: StopConditions? = nil, world: Communicator, clock: PhaseClock) throws
    -> EvaluationReport
{
    let forward = Forward(architecture: model.architecture, compute: compute.effective, source: model.parameters)
    let loader = StageWeights(model: model, forward: forward, world: world, clock: clock, phase: nil)
    let windows = tokens.sequences
    let own = Assignment(ranks: world.size).batches(of: world.rank, count: windows.count)
    let likelihoods = try clock.measure(.evaluate) { () throws -> [Double] in
        // One window a batch: the shape of every product is then the same for any number of ranks.
        let states = ResidentBatches(count: own.count)
        try world.together(exitCode: exitCode) { for (index, window) in own.enumerated() { try states.store(forward.embed([windows[window]]), index) } }
        for index in 0..<model.architecture.blockCount {
            let block = model.architecture.block(index)
            try run(block, forward, loader, states, lengths: windows.map(\.count))
            for window in own { clock.count(.evaluate, operations: block.stages.reduce(0) { $0 + $1.operations(lengths: [windows[window].count]) }) }
            try stop?.check(after: "block \(index + 1)/\(model.architecture.blockCount) of an evaluation")
        }
        let linear = model.architecture.head.linear
        let head = try loader.load(linear, isNeeded: !own.isEmpty)
        return try world.together(exitCode: exitCode) { () throws -> [Double] in
            guard let head else { return [] }
            return try own.enumerated().map { index, window in
                let state = try states.load(index)
                clock.count(.evaluate, operations: 2 * Double(state.tokens) * Double(linear.rows) * Double(linear.columns))
                return try forward.negativeLogLikelihood(of: [windows[window]], state, head: head)[0]
            }
        }
    }
    try model.checkUnchanged(world)
    // Every window's sum stands alone in its place, so adding zeros from the other ranks is exact.
    var sums = [Double](repeating: 0, count: windows.count)
    for (index, value) in zip(own, likelihoods) { sums[index] = value }
    try world.allReduceSum(&sums)
    let means = zip(windows, sums).map { $1 / Double($0.count - 1) }
    let mean = means.reduce(0, +) / Double(means.count)
    return EvaluationReport(
        perplexity: exp(mean), tokens: windows.reduce(0) { $0 + $1.count }, windows: windows.count, length: windows.first?.count ?? 0)
}

/// Takes all windows through a block.
///
/// - Parameter lengths: of the windows of all ranks.
private func run(_ block: Block, _ forward: Forward, _ loader: StageWeights, _ states: ResidentBatches, lengths: [Int]) throws {
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
    if let mixture = block.mixture {
        let pass = try MixturePass(block, mixture, storage: states, lengths: lengths, forward: forward, world: loader.world, clock: PhaseClock())
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
    for index in 0..<states.count {
        var state = try states.load(index)
        forward.finishBlock(&state)
        try states.store(state, index)
    }
}
