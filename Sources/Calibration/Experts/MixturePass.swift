// The batches of all ranks at a mixture of experts: where their tokens go, and the pass of each through its experts.

internal import Failures
package import LinearAlgebra
package import MessagePassing
package import Reporting
internal import Sharding
package import Transformers

/// All batches at the mixture of a block. Routes are computed once, in fp32, from the activations as they are.
package struct MixturePass {
    package let block: Block
    package let mixture: Mixture
    let exchange: ExpertExchange
    package let routed: TokenLists
    /// Tokens of every batch of all ranks, and of all batches.
    package let lengths: [Int]
    package let tokens: Int
    /// The largest |x| over all of them.
    package let maxMagnitude: Float

    package var world: Communicator { exchange.world }
    /// The numbers of this rank's batches among all.
    package var own: Range<Int> { exchange.batches[world.rank] }

    /// Routes the tokens of this rank's batches. Collective.
    ///
    /// - Parameters:
    ///   - lengths: tokens of every batch of all ranks.
    ///   - batches: the numbers of each rank's among them; nil: as the assignment deals them.
    ///   - scores: is told the outputs of experts; nil: nothing is.
    package init(
        _ block: Block, _ mixture: Mixture, storage: any BatchStorage, lengths: [Int], batches: [Range<Int>]? = nil, forward: Forward,
        scores: ExpertScores? = nil, world: Communicator, clock: PhaseClock
    ) throws {
        let assignment = Assignment(ranks: world.size)
        exchange = ExpertExchange(
            world: world, forward: forward, mixture: mixture, storage: storage,
            batches: batches ?? (0..<world.size).map { assignment.batches(of: $0, count: lengths.count) }, clock: clock, scores: scores)
        (self.block, self.mixture) = (block, mixture)
        self.lengths = lengths
        tokens = lengths.reduce(0, +)
        let own = exchange.batches[world.rank]
        var largest: [Float] = [0]
        let lists = try world.together(exitCode: exitCode) {
            try clock.measure(.forward) { () throws in
                try own.map { index in
                    let number = index - own.lowerBound
                    var state = try storage.load(number)
                    let input = try forward.input(of: mixture, state)
                    largest[0] = max(largest[0], input.maxMagnitude)
                    if storage.keepsInputs { state.values[mixture.input.value] = input }
                    state.expertSum = ExpertSum(residual: state.residual)
                    try storage.store(state, number)
                    return BatchTokens(try forward.route(mixture, input), experts: mixture.experts)
                }
            }
        }
        try world.allReduceMax(&largest)
        guard largest[0].isFinite else { throw AgreedFailure.notFinite(input: "the experts of \(block.name)") }
        maxMagnitude = largest[0]
        routed = try TokenLists(lists, first: own.lowerBound, batches: lengths.count, experts: mixture.experts, world: world)
    }

    /// The experts that ranks work on at the same time, one of each rank: the first of each, then the second, and so on.
    ///
    /// - Parameter owned: the experts of each rank.
    package static func rounds(_ owned: [[Int]]) -> [[Int?]] {
        (0..<(owned.map(\.count).max() ?? 0)).map { round in owned.map { round < $0.count ? $0[round] : nil } }
    }

    /// Calls `body` with the steps of a round: tokens of each rank's expert, until all have had theirs.
    ///
    /// Tokens lie in the order of batches, and so of ranks. If all experts began with their first tokens, some ranks would send to all others while the rest
    /// wait; each therefore begins about where its own rank's tokens lie. Sums and outputs are the same in any order of steps, but scores are not.
    package func forEachStep(_ round: [Int?], _ lists: TokenLists, _ body: ([ExpertStep?]) throws -> Void) rethrows {
        let totals = round.map { $0.map { lists.counts.total($0) } ?? 0 }
        let counts = totals.map { ($0 + Plan.expertStepTokens - 1) / Plan.expertStepTokens }
        for step in 0..<(counts.max() ?? 0) {
            try body(
                round.indices.map { rank in
                    guard let expert = round[rank], step < counts[rank] else { return nil }
                    let first = exchange.scores == nil ? rank * counts[rank] / world.size : 0
                    let start = (first + step) % counts[rank] * Plan.expertStepTokens
                    return ExpertStep(expert: expert, places: start..<min(start + Plan.expertStepTokens, totals[rank]))
                })
        }
    }

    /// Takes all tokens through their experts. Collective.
    ///
    /// - Parameters:
    ///   - owned: the experts of each rank.
    ///   - weights: of an expert of this rank.
    package func run(_ owned: [[Int]], weights: (_ expert: Int) throws -> ExpertWeights) throws {
        for round in Self.rounds(owned) {
            var failure = FirstFailure()
            let expert = failure.of { try round[world.rank].map(weights) } ?? nil
            try forEachStep(round, routed) { steps in
                let input = try gather(steps, routed, &failure)
                try giveBack(steps, failure.isSet ? nil : input.flatMap { input in expert.map { outputs($0, input) } }, &failure)
            }
            try world.together(exitCode: exitCode) { try failure.rethrow() }
        }
    }

    /// The inputs of this rank's step: [places, hidden]. Collective; what only this rank failed at is noted.
    package func gather(_ steps: [ExpertStep?], _ lists: TokenLists, _ failure: inout FirstFailure) throws -> Operand? {
        let target = steps[world.rank].map { Operand(uninitialized: exchange.forward.compute, $0.places.count, mixture.router.linear.columns) }
        try failure.ofOwn { try exchange.gather(steps, lists, into: target) }
        return target
    }

    /// Outputs of this rank's step back to their tokens. Collective; what only this rank failed at is noted.
    package func giveBack(_ steps: [ExpertStep?], _ outputs: Matrix<Float>?, _ failure: inout FirstFailure) throws {
        // Others wait for outputs even of a rank that has failed.
        let sent = outputs ?? steps[world.rank].map { Matrix(zeros: $0.places.count, mixture.router.linear.columns) }
        try failure.ofOwn { try exchange.giveBack(steps, routed, sent) }
    }

    /// The largest |d| over all tokens, d being what inputs of the mixture in another model, less those in this one, come to on their way to experts. Collective.
    package func largestDifference(_ other: MixturePass) throws -> Float {
        var largest: [Float] = [0]
        try world.together(exitCode: exitCode) {
            for number in 0..<own.count {
                let (own, others) = (try exchange.input(number), try other.exchange.input(number))
                let difference = exchange.clock.measure(.hessian) { others.difference(own, compute: exchange.forward.compute).maxMagnitude }
                largest[0] = max(largest[0], difference)
            }
        }
        try world.allReduceMax(&largest)
        guard largest[0].isFinite else { throw AgreedFailure.notFinite(input: "the experts of \(block.name) in the dense model") }
        // Where inputs are multiplied, by less than 1, both are rounded once more: each by less than two numbers of its size differ.
        return mixture.router.weighsInputs ? 4 * largest[0] : largest[0]
    }

    private func outputs(_ expert: ExpertWeights, _ input: Operand) -> Matrix<Float> {
        exchange.clock.measure(.forward) { expert.outputs(expert.activated(input)) }
    }
}
