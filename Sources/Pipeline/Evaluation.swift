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
public func evaluate(_ model: Model, _ tokens: TokenSequences, compute: Compute, stop: StopConditions? = nil, world: Communicator, clock: PhaseClock) throws
    -> EvaluationReport
{
    let forward = Forward(architecture: model.architecture, compute: compute.effective, source: model.parameters)
    let loader = StageWeights(model: model, forward: forward, world: world, clock: clock, phase: nil)
    let windows = tokens.sequences
    let own = world.rank * windows.count / world.size..<(world.rank + 1) * windows.count / world.size
    let likelihoods = try clock.measure(.evaluate) { () throws -> [Double] in
        // One window a batch: the shape of every product is then the same for any number of ranks.
        var states = try world.together(exitCode: exitCode) { try own.map { try forward.embed([windows[$0]]) } }
        for index in 0..<model.architecture.blockCount {
            let block = model.architecture.block(index)
            try run(block, forward, loader, &states)
            for state in states { clock.count(.evaluate, operations: block.stages.reduce(0) { $0 + $1.operations(lengths: state.lengths) }) }
            try stop?.check(after: "block \(index + 1)/\(model.architecture.blockCount) of an evaluation")
        }
        let linear = model.architecture.head.linear
        let head = try loader.load(linear, isNeeded: !states.isEmpty)
        return try world.together(exitCode: exitCode) { () throws -> [Double] in
            guard let head, !states.isEmpty else { return [] }
            for state in states { clock.count(.evaluate, operations: 2 * Double(state.tokens) * Double(linear.rows) * Double(linear.columns)) }
            return try zip(own, states).map { try forward.negativeLogLikelihood(of: [windows[$0]], $1, head: head)[0] }
        }
    }
    // Every window's sum stands alone in its place, so adding zeros from the other ranks is exact.
    var sums = [Double](repeating: 0, count: windows.count)
    for (index, value) in zip(own, likelihoods) { sums[index] = value }
    try world.allReduceSum(&sums)
    let means = zip(windows, sums).map { $1 / Double($0.count - 1) }
    let mean = means.reduce(0, +) / Double(means.count)
    return EvaluationReport(
        perplexity: exp(mean), tokens: windows.reduce(0) { $0 + $1.count }, windows: windows.count, length: windows.first?.count ?? 0)
}

private func run(_ block: Block, _ forward: Forward, _ loader: StageWeights, _ states: inout [BatchState]) throws {
    for stage in block.stages {
        let weights = try stage.linears.compactMap { try loader.load($0, isNeeded: !states.isEmpty) }
        try loader.world.together(exitCode: exitCode) { () throws in
            for index in states.indices {
                let input = try forward.input(of: stage, states[index])
                try forward.apply(stage, weights: weights, to: input, &states[index])
            }
        }
    }
    for index in states.indices { forward.finishBlock(&states[index]) }
}
