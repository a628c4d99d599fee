// The Hessian of a stage: each rank's share of the sum, and the factor of the whole.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// What decides a factor, besides the Hessian.
struct FactorSettings: Hashable {
    var damping: Double
    var maxDamping: Double
    var dampingScale: DampingScale
    var actOrder: Bool
    /// Width of groups that act-order keeps together.
    var wholeGroups: Int?
    /// That of a second factor of the same Hessian; nil: there is none.
    var penalty: Double?
    /// Whether the inverse of the Hessian is made, too.
    var inverts: Bool

    init(_ treatment: Treatment) {
        damping = treatment.damping
        maxDamping = treatment.maxDamping
        dampingScale = treatment.method.dampingScale
        actOrder = treatment.actOrder != .off
        wholeGroups = treatment.options(scaleType: .f32)?.widthOfWholeGroups
        penalty = treatment.method.penalty
        inverts = treatment.method.eliminates
    }
}

extension StagePlan {
    /// Those of each treated linear, and of what a budget may choose for it.
    var factorSettings: [FactorSettings] { treatments.map(FactorSettings.init) }

    /// What the report says of the stage's factors.
    ///
    /// - Parameter tokens: that entered the Hessian.
    func facts(_ factors: [FactorSettings: FactorOutcome], tokens: Int) -> StageFacts {
        StageFacts(linears: linears.map { linear in linear.treatment.flatMap { factors[FactorSettings($0)] }.map(LinearFacts.init) }, tokens: tokens)
    }
}

/// A factor, or why there is none.
enum FactorOutcome: Sendable {
    case factor(StageFactor)
    case singular(String)
}

/// The accumulation of a stage's Hessian and its factorisation.
struct StageHessian {
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    /// What products are computed in.
    let compute: Compute
    private var world: Communicator { nodes.world }

    /// The sum of X^T X over the batches of this rank; the sum over ranks is exact, too.
    ///
    /// - Parameters:
    ///   - batches: those of this rank, at the stage.
    ///   - tokens: rows of all batches of all ranks.
    ///   - blocks: those of columns that are summed at a time; nil: all.
    ///   - name: of block and stage, for messages.
    func accumulate(_ batches: CalibrationBatches, _ stage: Stage, tokens: Int, blocks: Int?, name: String) throws -> HessianSum {
        let largest = try agreedMaximum(batches, stage, name: name)
        return try HessianSum(batches, stage, tokens: tokens, maxMagnitude: largest, blocks: blocks, world: world, clock: clock)
    }

    /// The largest |x| over all batches of all ranks, from which the sum's quantum follows.
    private func agreedMaximum(_ batches: CalibrationBatches, _ stage: Stage, name: String) throws -> Float {
        var largest: [Float] = [0]
        try world.together(exitCode: exitCode) {
            try clock.measure(.hessian) { () throws in
                try batches.forEachInput(of: stage) { largest[0] = max(largest[0], $0.maxMagnitude) }
            }
        }
        try clock.measure(.reduce) { () throws in try world.allReduceMax(&largest) }
        guard largest[0].isFinite else { throw AgreedFailure.notFinite(input: name) }
        return largest[0]
    }

    /// The factors that a stage's linears need, by their settings.
    ///
    /// - Parameters:
    ///   - sum: what `accumulate` gave this rank.
    ///   - isComplete: whether every rank is to have the whole of R.
    func factors(_ sum: any HessianParts, _ stage: StagePlan, isComplete: Bool) throws -> [FactorSettings: FactorOutcome] {
        var factors: [FactorSettings: FactorOutcome] = [:]
        for settings in stage.factorSettings where factors[settings] == nil {
            factors[settings] = try factor(sum, settings: settings, isComplete: isComplete)
        }
        return factors
    }

    /// What maps the inputs of a stage to their mismatch with the dense model's, by the factors that belong to them.
    func mismatches(
        _ batches: CalibrationBatches, _ dense: CalibrationBatches, _ stage: Stage, tokens: Int, panelsAtOnce: Int?, _ factors: [(FactorSettings, StageFactor)]
    ) throws -> [FactorSettings: StageMismatch] {
        try SharedMismatch(
            nodes: nodes, assignment: assignment, clock: clock, batches: batches, dense: dense, stage: stage, tokens: tokens, panelsAtOnce: panelsAtOnce
        ).make(factors)
    }

    private func factor(_ sum: any HessianParts, settings: FactorSettings, isComplete: Bool) throws -> FactorOutcome {
        do {
            func make(_ settings: FactorSettings, penalty: Double = 0) throws -> StageFactor {
                try SharedFactor(
                    nodes: nodes, assignment: assignment, clock: clock, hessian: sum, settings: settings, penalty: penalty, isComplete: isComplete,
                    compute: compute
                ).make()
            }
            var factor = try make(settings)
            if let penalty = settings.penalty {
                // Of the Hessian with the damping that it turned out to need.
                var damped = settings
                damped.damping = factor.outline.dampingFraction
                factor.penalised = try make(damped, penalty: penalty).complete
            }
            if settings.inverts, let complete = factor.complete {
                factor.inverse = clock.measure(.factor) { InverseHessian(complete) }
                clock.count(.factor, operations: InverseHessian.operations(columns: complete.columns))
            }
            return .factor(factor)
        } catch let error as CompressionError {
            return .singular("\(error)")
        }
    }
}

extension AgreedFailure {
    /// - Parameter input: whose input it is.
    static func notFinite(input name: String) -> AgreedFailure {
        AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
            description: "the input of \(name) has values that are not finite: the model overflows on this calibration text, or its weights are damaged "
                + "(with `compute: bf16`, try `compute: f32`)")
    }
}

extension Operand {
    /// The largest |x|; infinity when any value is infinite or NaN.
    var maxMagnitude: Float {
        switch self {
        case .f32(let x): LinearAlgebra.maxMagnitude(x)
        case .bf16(let x): LinearAlgebra.maxMagnitude(x)
        }
    }
}
