// Perplexity over ranks.

internal import Failures
internal import Glibc
internal import LinearAlgebra
public import MessagePassing
public import Models
public import Reporting
internal import Sharding
public import Texts
public import Transformers

/// Runs non-overlapping windows through a model block by block; windows are spread over the ranks.
///
/// The definition is that of `gptq/llama.py`: each window predicts its tokens but the first, the mean over windows of the mean negative
/// log-likelihood is exponentiated.
/// - Parameters:
///   - reference: a model of the same tokens whose predictions the model's are compared with; nil: none.
///   - finished: called after each block with its place, in words; what it throws ends the evaluation.
/// - Returns: the same result on every rank, the same bits for any number of ranks.
/// - Throws: an `AgreedFailure` with exit code 65 also when a model's files have changed meanwhile.
public func evaluate(
    _ model: Model, _ tokens: TokenSequences, compute: Compute, reference: Model? = nil, world: Communicator, clock: PhaseClock,
    finished: (_ place: String) throws -> Void = { _ in }
) throws -> EvaluationReport {
    let windows = tokens.sequences
    let own = Assignment(ranks: world.size).batches(of: world.rank, count: windows.count)
    // Every window's sums stand alone in their places, so adding zeros from the other ranks is exact.
    var likelihoods = [Double](repeating: 0, count: windows.count), divergences = likelihoods, sameChoices = likelihoods
    try clock.measure(.evaluate) { () throws in
        let other = try reference.map { try EvaluationPass($0, windows, own, compute: compute, world: world, clock: clock, finished: finished) }
        let pass = try EvaluationPass(model, windows, own, compute: compute, world: world, clock: clock, finished: finished)
        try world.together(exitCode: exitCode) { () throws in
            for (index, window) in own.enumerated() {
                var sums = (divergence: 0.0, sameChoices: 0)
                likelihoods[window] = try pass.negativeLogLikelihood(index, of: windows[window], comparedWith: other, &sums)
                (divergences[window], sameChoices[window]) = (sums.divergence, Double(sums.sameChoices))
            }
        }
    }
    for model in [model, reference].compactMap({ $0 }) { try model.checkUnchanged(world) }
    try world.allReduceSum(&likelihoods)
    let means = zip(windows, likelihoods).map { $1 / Double($0.count - 1) }
    let mean = means.reduce(0, +) / Double(means.count)
    var report = EvaluationReport(
        perplexity: exp(mean), tokens: windows.reduce(0) { $0 + $1.count }, windows: windows.count, length: windows.first?.count ?? 0)
    // Predictions that are no numbers are as far from any other.
    if reference != nil, report.perplexity.isFinite {
        try world.allReduceSum(&divergences)
        try world.allReduceSum(&sameChoices)
        let count = Double(max(report.tokens, 1))
        report.comparison = PredictionComparison(divergence: divergences.reduce(0, +) / count, sameChoices: sameChoices.reduce(0, +) / count)
    }
    return report
}

/// A rank's windows at the end of a model, and its head.
private struct EvaluationPass {
    private let forward: Forward
    private let states: ResidentBatches
    /// nil where the rank has no windows.
    private let head: LinearWeights?
    private let clock: PhaseClock

    /// Takes the windows through all blocks. Collective.
    ///
    /// - Parameters:
    ///   - windows: of all ranks.
    ///   - own: this rank's.
    init(
        _ model: Model, _ windows: [[Int32]], _ own: Range<Int>, compute: Compute, world: Communicator, clock: PhaseClock, finished: (String) throws -> Void
    ) throws {
        let forward = Forward(architecture: model.architecture, compute: compute.effective, source: model.parameters)
        let loader = StageWeights(model: model, forward: forward, world: world, clock: clock, phase: nil)
        let pass = try DensePass(windows, own, forward, loader, clock: clock)
        try pass.run(finished: { try finished("block \($0 + 1)/\(model.architecture.blockCount) of an evaluation") })
        head = try loader.load(model.architecture.head.linear, isNeeded: !own.isEmpty)
        (self.forward, states, self.clock) = (forward, pass.states, clock)
    }

    /// Of the rank's window of an index, in nats: the sum over its predictions.
    ///
    /// - Parameters:
    ///   - reference: another model with whose predictions these are compared; nil: none.
    ///   - sums: its divergence, and how often both have the same choice.
    func negativeLogLikelihood(
        _ index: Int, of window: [Int32], comparedWith reference: EvaluationPass?, _ sums: inout (divergence: Double, sameChoices: Int)
    ) throws -> Double {
        let (state, head) = try end(index)
        guard let reference else { return try forward.negativeLogLikelihood(of: [window], state, head: head)[0] }
        let other = try reference.end(index)
        return try forward.negativeLogLikelihood(of: [window], state, head: head) { tokens, logits in
            try reference.forward.compare(logits, tokens, with: other.state, head: other.head, addingTo: &sums)
        }[0]
    }

    private func end(_ index: Int) throws -> (state: BatchState, head: LinearWeights) {
        guard let head else { throw PipelineError(.internalError, "an evaluation without a head") }
        let state = try states.load(index), linear = forward.architecture.head.linear
        clock.count(.evaluate, operations: 2 * Double(state.tokens) * Double(linear.rows) * Double(linear.columns))
        return (state, head)
    }
}
