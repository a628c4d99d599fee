// One expert as the dense model has it, on the rank that works on it: what its new weights are to give, and the pass of its tokens in that model.

internal import Calibration
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// The dense model's side of an expert with `target: dense`. X̂ and X are inputs of the same tokens, those of the expert's sums: the mixture's in both models for
/// its first stage, and what either model's first stage makes of them for its second.
///
/// As the tokens come in steps, so do sums of them. They are its owner's alone.
final class DenseExpert {
    private let plans: [StagePlan]
    private let tools: ExpertTools
    /// Tokens of its sums.
    private let tokens: Int
    /// Whether the linears of each stage make up for what their inputs lack.
    let shifts: [Bool]
    /// Whether the inputs of its tokens are kept.
    private let keepsTokens: Bool

    /// The dense model's inputs of its tokens, and what the first stage's outputs differ by, where they are kept: [tokens, columns].
    private var inputs: Operand?
    private var differences: Operand?
    /// The largest |d| of the second stage's inputs over its tokens.
    private var largestDifference: Float = 0
    private var sum: MismatchSum?
    private var sums: MismatchSums?
    /// The stages that are loaded, from the first on.
    private var loaded = 0
    private var weights: ExpertWeights?

    /// - Parameters:
    ///   - plans: of both stages.
    ///   - tokens: those of its sums.
    ///   - shifts: whether each stage's inputs of the dense model are needed.
    ///   - keepsTokens: whether there is room for all of them.
    init(_ plans: [StagePlan], tokens: Int, shifts: [Bool], keepsTokens: Bool, tools: ExpertTools) {
        (self.plans, self.tokens, self.shifts, self.keepsTokens, self.tools) = (plans, tokens, shifts, keepsTokens, tools)
    }

    // MARK: - First stage

    /// Begins the first stage's sum.
    ///
    /// - Parameter maxMagnitudes: the largest |d| and |x̂| over the layer's tokens.
    func beginFirst(maxMagnitudes: (d: Float, x: Float)) {
        if shifts[0] { begin(0, maxMagnitudes) }
    }

    /// Takes in some places of its list.
    ///
    /// - Parameters:
    ///   - input: in the dense model.
    ///   - x: in the compressed one.
    func takeInputs(_ input: Operand, beside x: Operand, _ places: Range<Int>) {
        if let sum { add(input.difference(x, compute: compute), x, to: sum, 0) }
        guard keepsTokens, shifts[1] else { return }
        let whole = inputs ?? Operand(uninitialized: compute, tokens, plans[0].columns)
        whole.rows(places).assign(input)
        inputs = whole
    }

    // MARK: - Second stage

    /// Makes ready what follows the first stage.
    ///
    /// - Parameter activated: what the compressed first stage made of its tokens, where they are kept: [tokens, columns].
    func beginSecond(beside activated: Operand?) throws {
        guard shifts[1] else { return }
        try load(1)
        guard let activated, let inputs else { return }
        let whole = Operand(uninitialized: compute, tokens, plans[1].columns)
        for places in (0..<tokens).cut(every: Plan.expertStepTokens) {
            whole.rows(places).assign(difference(inputs.rows(places), activated.rows(places)))
        }
        self.inputs = nil
        differences = whole
        largestDifference = whole.rows == 0 ? 0 : whole.maxMagnitude
    }

    /// Takes in some places again, for the largest magnitude of what they differ by.
    func measure(_ input: Operand, beside activated: Operand) {
        largestDifference = max(largestDifference, difference(input, activated).maxMagnitude)
    }

    /// Begins the second stage's sum, with what is kept of its tokens.
    ///
    /// - Parameter maxMagnitude: the largest |x̂| over its tokens.
    func sumSecond(maxMagnitude: Float, beside activated: Operand?) throws {
        guard shifts[1] else { return }
        guard largestDifference.isFinite else {
            throw PipelineError(
                .badInput,
                "the input of \(plans[1].linears[0].linear.name) in the dense model has values that are not finite (with `compute: bf16`, try `compute: f32`)")
        }
        begin(1, (largestDifference, maxMagnitude))
        guard let activated, let differences, let sum else { return }
        for places in (0..<tokens).cut(every: Plan.expertStepTokens) { add(differences.rows(places), activated.rows(places), to: sum, 1) }
        self.differences = nil
    }

    /// Takes in some places again, for the second stage's sum.
    func takeActivated(_ input: Operand, beside activated: Operand) {
        if let sum { add(difference(input, activated), activated, to: sum, 1) }
    }

    private func difference(_ input: Operand, _ activated: Operand) -> Operand {
        guard let weights else { preconditionFailure("an expert of the dense model that runs before it is loaded") }
        tools.clock.count(.forward, operations: plans[0].passOperations(tokens: input.rows))
        return tools.clock.measure(.forward) { weights.activated(input) }.difference(activated, compute: compute)
    }

    // MARK: - Maps

    /// Ends the sum of a stage: it takes half the room from now on.
    func endSum(_ stage: Int) throws {
        guard let sum else { return }
        self.sum = nil
        var sums = MismatchSums()
        let shared = shared(stage)
        try shared.reduce(sum, 0..<shared.panels.count, into: &sums)
        self.sums = sums
    }

    /// What shifts the weights of a stage whose sum has ended; empty where nothing does.
    func maps(_ stage: Int, _ factors: [FactorSettings: FactorOutcome]) throws -> StageMismatches {
        // Nobody else keeps them: they go as rows of the map take their place.
        var left = sums
        guard left != nil else { return [:] }
        sums = nil
        return try tools.hessian.mismatches(plans[stage], tokens: tokens, factors) { shared in
            guard shared.mismatch == .input, let ended = left else { preconditionFailure("an expert's \(shared.mismatch) that was not summed") }
            left = nil
            return ended
        }
    }

    private func shared(_ stage: Int) -> SharedMismatch { tools.hessian.shared(.input, plans[stage], tokens: tokens) }

    private func begin(_ stage: Int, _ maxMagnitudes: (d: Float, x: Float)) {
        let shared = shared(stage)
        sum = shared.sum(of: 0..<shared.panels.count, maxMagnitudes: maxMagnitudes)
    }

    private func add(_ d: Operand, _ x: Operand, to sum: MismatchSum, _ stage: Int) {
        tools.clock.measure(.hessian) { shared(stage).add(d: d, x: x, to: sum) }
    }

    // MARK: - The expert itself

    /// Both stages with the weights of the checkpoint.
    func whole() throws -> ExpertWeights {
        try load(2)
        guard let weights else { preconditionFailure("an expert of the dense model that is not loaded") }
        return weights
    }

    private func load(_ stages: Int) throws {
        while loaded < stages {
            let plan = plans[loaded]
            let stage = try tools.weights.load(plan, tiles: nil, pieces: plan.stage.pieces)
            if loaded == 0 {
                weights = try ExpertWeights(plans.map(\.stage), weights: [stage], forward: tools.weights.forward)
            } else {
                weights?.append(stage)
            }
            loaded += 1
        }
    }

    private var compute: Compute { tools.weights.forward.compute }
}
