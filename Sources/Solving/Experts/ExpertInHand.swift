// One expert on the rank that works on it: its tokens, the sums over them, and its two stages, solved one after the other.

internal import Calibration
internal import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// An expert from its first token to its last tile. Its owner alone sums, factors and solves: nothing is reduced over ranks.
///
/// The tokens of its sums come in steps, each a part of the expert's list. They are kept where the plan leaves room for so many, and else come again for each
/// use; either way each product has the same shape, and so the same bits.
final class ExpertInHand {
    let expert: Int
    /// Whether its outputs are needed.
    private let isRun: Bool
    /// The block, and the places of the stages in it.
    private let block: Int
    private let places: [Int]
    private let plans: [StagePlan]
    private let tools: ExpertTools
    /// Tokens of its sums.
    private let tokens: Int
    /// Whether each stage's Hessian is summed.
    private let sums: [Bool]
    /// Why its Hessians are not used; nil when they are.
    private let fallback: String?
    /// Whether its tokens are kept.
    let keepsTokens: Bool
    /// The same expert in the dense model, where the batches pass that, too.
    let dense: DenseExpert?

    /// The inputs of its tokens, and what the first stage makes of them, where they are kept: [tokens, columns].
    private var inputs: Operand?
    private var activated: Operand?
    private var gram: GramSum?
    private var weights: ExpertWeights?
    /// The largest |x| of each stage's inputs: over the layer's tokens, and over this expert's, once they have passed the first stage.
    private var magnitudes: [Float]
    private(set) var solved: [SolvedStage] = []
    private(set) var facts: [StageFacts?] = []

    /// - Parameters:
    ///   - tokens: those of its sums.
    ///   - sums: whether each stage's Hessian is needed.
    ///   - keepsTokens: whether there is room for all of them.
    ///   - maxMagnitudes: over the layer's tokens the largest |x|, and of what inputs of the dense model differ by the largest |d|.
    ///   - shifts: whether each stage makes up for that; nil where the batches do not pass the dense model.
    ///   - isRun: whether its outputs are needed.
    init(
        _ expert: Int, block: Int, plan: BlockPlan, places: Range<Int>, tokens: Int, sums: [Bool], fallback: String?, keepsTokens: Bool,
        maxMagnitudes: (d: Float, x: Float), shifts: [Bool]?, isRun: Bool, tools: ExpertTools
    ) {
        self.expert = expert
        self.isRun = isRun
        self.block = block
        self.places = Array(places)
        plans = Array(plan.stages[places])
        self.tokens = tokens
        self.sums = sums
        self.fallback = fallback
        self.keepsTokens = keepsTokens
        self.tools = tools
        magnitudes = [maxMagnitudes.x, 0]
        dense = shifts.map { [plans] in DenseExpert(plans, tokens: tokens, shifts: $0, keepsTokens: keepsTokens, tools: tools) }
        if sums[0], fallback == nil {
            gram = tools.clock.measure(.hessian) { GramSum(columns: plans[0].columns, tokens: tokens, maxMagnitude: maxMagnitudes.x) }
            dense?.beginFirst(maxMagnitudes: maxMagnitudes)
        }
    }

    // MARK: - Tokens

    /// Takes in the inputs of some places of its list.
    ///
    /// - Parameter input: those in the dense model; nil where they are not needed.
    func takeInputs(_ step: Operand, beside input: Operand?, _ places: Range<Int>) {
        if let gram { add(step, to: gram) }
        if let input { dense?.takeInputs(input, beside: step, places) }
        guard keepsTokens else { return }
        let whole = inputs ?? Operand(uninitialized: tools.weights.forward.compute, tokens, plans[0].columns)
        whole.rows(places).assign(step)
        inputs = whole
    }

    /// Calls `body` with what was kept of its tokens, step by step.
    private func forEachKept(_ values: Operand?, _ body: (Operand, Range<Int>) -> Void) {
        guard let values else { return }
        for start in stride(from: 0, to: values.rows, by: Plan.expertStepTokens) {
            let places = start..<min(start + Plan.expertStepTokens, values.rows)
            body(values.rows(places), places)
        }
    }

    private func add(_ x: Operand, to gram: GramSum) {
        tools.clock.measure(.hessian) { gram.add(x) }
        tools.clock.count(.hessian, operations: gram.operations(tokens: x.rows))
    }

    // MARK: - First stage

    /// Solves the first stage, and makes its weights ready where anything follows.
    func solveFirst() throws {
        try solve(0)
        guard isRun || sums[1] else { return }
        weights = try ExpertWeights(plans.map(\.stage), weights: [load(0)], forward: tools.weights.forward)
        defer { inputs = nil }
        guard keepsActivated else {
            try dense?.beginSecond(beside: nil)
            return
        }
        let whole = Operand(uninitialized: tools.weights.forward.compute, tokens, plans[1].columns)
        forEachKept(inputs) { step, places in whole.rows(places).assign(activate(step)) }
        activated = whole
        magnitudes[1] = whole.rows == 0 ? 0 : whole.maxMagnitude
        inputs = nil
        try dense?.beginSecond(beside: whole)
    }

    private func activate(_ step: Operand) -> Operand {
        guard let weights else { preconditionFailure("an expert that runs before it is solved") }
        count(0, tokens: step.rows)
        return tools.clock.measure(.forward) { weights.activated(step) }
    }

    private func count(_ stage: Int, tokens: Int) {
        tools.clock.count(.forward, operations: plans[stage].passOperations(tokens: tokens))
    }

    // MARK: - Second stage

    /// Takes in the inputs of some places again, for the largest magnitude of what the first stage makes of them.
    ///
    /// - Parameter input: those in the dense model; nil where they are not needed.
    func measure(_ step: Operand, beside input: Operand?) {
        let activated = activate(step)
        magnitudes[1] = max(magnitudes[1], activated.maxMagnitude)
        if let input { dense?.measure(input, beside: activated) }
    }

    /// Begins the second stage's sum.
    func beginSecond() throws {
        guard sums[1], fallback == nil else { return }
        guard magnitudes[1].isFinite else {
            throw PipelineError(
                .badInput, "the input of \(plans[1].linears[0].linear.name) has values that are not finite (with `compute: bf16`, try `compute: f32`)")
        }
        let gram = tools.clock.measure(.hessian) { GramSum(columns: plans[1].columns, tokens: tokens, maxMagnitude: magnitudes[1]) }
        self.gram = gram
        forEachKept(activated) { step, _ in add(step, to: gram) }
        try dense?.sumSecond(maxMagnitude: magnitudes[1], beside: activated)
    }

    /// Takes in the inputs of some places again, for the second stage's sum.
    ///
    /// - Parameter input: those in the dense model; nil where they are not needed.
    func takeActivated(_ step: Operand, beside input: Operand?) {
        guard let gram else { return }
        let activated = activate(step)
        add(activated, to: gram)
        if let input { dense?.takeActivated(input, beside: activated) }
    }

    /// Solves the second stage, and makes its weights ready where outputs are needed.
    func solveSecond() throws {
        try solve(1)
        if isRun { weights?.append(try load(1)) }
    }

    // MARK: - Outputs

    /// The outputs of some places of its list: [places, hidden].
    ///
    /// - Parameter input: the inputs of those places; nil where what the first stage makes of them is kept.
    func outputs(_ places: Range<Int>, _ input: Operand?) -> Matrix<Float> {
        guard let weights, let values = input.map(activate) ?? activated?.rows(places) else { preconditionFailure("outputs of tokens that are not here") }
        count(1, tokens: values.rows)
        return tools.clock.measure(.forward) { weights.outputs(values) }
    }

    /// Whether what the first stage makes of its tokens is kept.
    var keepsActivated: Bool { keepsTokens && sums[1] && fallback == nil }

    // MARK: - Parts

    private func solve(_ index: Int) throws {
        let (plan, place) = (plans[index], places[index])
        var factors: [FactorSettings: FactorOutcome] = [:]
        try dense?.endSum(index)
        if sums[index] {
            if let fallback {
                for settings in plan.factorSettings { factors[settings] = .singular(fallback) }
            } else if let gram {
                factors = try tools.hessian.factors(WholeHessian(sum: gram), plan, .whole)
            }
        }
        gram = nil
        let mismatches = try dense?.maps(index, factors) ?? [:]
        var found = sums[index] ? plan.facts(factors, tokens: fallback == nil ? tokens : 0) : nil
        let result = try tools.solver.solve(
            plan, block: block, index: place, factors: factors, inputMagnitude: magnitudes[index], mismatches: mismatches, tilesAtOnce: nil,
            committed: tools.committed, needed: Set(plan.tiles.indices))
        if found != nil {
            found?.losses = try tools.solver.losses(
                plan, block: block, index: place, factors: factors, tilesAtOnce: nil, solved: result, nothing: tools.committed.none)
        }
        facts.append(found)
        solved.append(result)
    }

    private func load(_ index: Int) throws -> [[LinearWeights]] {
        try tools.weights.load(plans[index], tiles: tools.runsCompressed ? solved[index].tiles : nil, pieces: plans[index].stage.pieces)
    }
}

extension StagePlan {
    /// Multiplications and additions of its linears for some tokens.
    func passOperations(tokens: Int) -> Double {
        2 * Double(tokens) * linears.reduce(0) { $0 + Double($1.linear.rows) * Double($1.linear.columns) }
    }
}
