// The Hessian of a stage: each rank's share of the sum, and the factor of the whole.

package import Calibration
internal import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
package import MessagePassing
package import Recipes
package import Reporting
package import Sharding
package import Transformers

/// What decides a factor, besides the Hessian.
package struct FactorSettings: Hashable, Sendable {
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

    package init(_ treatment: Treatment) {
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

    /// Those of each linear that a mismatch shifts, once, in the order of the linears, which all ranks share.
    func settings(of mismatch: Mismatch) -> [FactorSettings] {
        var known = Set<FactorSettings>()
        return linears.indices.compactMap { index in
            guard strength(mismatch, ofLinear: index) != 0, let settings = linears[index].treatment.map(FactorSettings.init) else { return nil }
            return known.insert(settings).inserted ? settings : nil
        }
    }
}

/// A factor, or why there is none.
package enum FactorOutcome: Sendable {
    case factor(StageFactor)
    case singular(String)
}

/// The accumulation of a stage's Hessian and its factorisation.
package struct StageHessian {
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    /// What products are computed in.
    let compute: Compute

    package init(nodes: NodeGroups, assignment: Assignment, clock: PhaseClock, compute: Compute) {
        (self.nodes, self.assignment, self.clock, self.compute) = (nodes, assignment, clock, compute)
    }

    private var world: Communicator { nodes.world }

    /// The sum of X^T X over the batches of this rank; the sum over ranks is exact, too.
    ///
    /// - Parameters:
    ///   - batches: those of this rank, at the stage.
    ///   - tokens: rows of all batches of all ranks.
    ///   - blocks: those of columns that are summed at a time; nil: all.
    ///   - name: of block and stage, for messages.
    package func accumulate(_ batches: CalibrationBatches, _ stage: Stage, tokens: Int, blocks: Int?, name: String) throws -> HessianSum {
        let largest = try agreedMaximum(batches, stage, name: name)
        return try HessianSum(batches, stage, tokens: tokens, maxMagnitude: largest, blocks: blocks, nodes: nodes, clock: clock)
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
    ///   - residency: whether every rank is to have the whole of R, and where panels lie.
    package func factors(_ sum: any HessianParts, _ stage: StagePlan, _ residency: StageResidency) throws -> [FactorSettings: FactorOutcome] {
        var factors: [FactorSettings: FactorOutcome] = [:]
        for settings in stage.factorSettings where factors[settings] == nil {
            factors[settings] = try factor(sum, settings: settings, residency)
        }
        return factors
    }

    /// What maps the inputs of a stage to what differs from the dense model, by the factors that belong to it. Collective.
    ///
    /// - Parameters:
    ///   - batches: those of the compressed model, at the stage.
    ///   - dense: those of the dense model, at the stage.
    ///   - factors: what `factors` gave; linears without a factor get no map.
    package func mismatches(
        _ batches: CalibrationBatches, _ dense: CalibrationBatches, _ stage: StagePlan, tokens: Int, panelsAtOnce: Int?,
        _ factors: [FactorSettings: FactorOutcome]
    ) throws -> StageMismatches {
        try mismatches(stage, tokens: tokens, factors) { shared in
            try BatchMismatch(shared: shared, batches: batches, dense: dense, panelsAtOnce: panelsAtOnce).sums()
        }
    }

    /// The same of sums that are made elsewhere.
    ///
    /// - Parameters:
    ///   - tokens: rows of all that is summed.
    ///   - sums: of a mismatch, over all ranks.
    func mismatches(
        _ stage: StagePlan, tokens: Int, _ factors: [FactorSettings: FactorOutcome], sums: (SharedMismatch) throws -> MismatchSums
    ) throws -> StageMismatches {
        try stage.mismatches.reduce(into: [:]) { found, mismatch in
            let settings = stage.settings(of: mismatch)
            let needed = settings.compactMap { settings in if case .factor(let factor)? = factors[settings] { (settings, factor) } else { nil } }
            guard !needed.isEmpty else { return }
            let shared = shared(mismatch, stage, tokens: tokens)
            found[mismatch] = try shared.maps(try sums(shared), needed)
        }
    }

    /// A mismatch of a stage over the ranks of this Hessian.
    ///
    /// - Parameter tokens: rows of all that is summed.
    func shared(_ mismatch: Mismatch, _ stage: StagePlan, tokens: Int) -> SharedMismatch {
        SharedMismatch(nodes: nodes, assignment: assignment, clock: clock, stage: stage.stage, mismatch: mismatch, tokens: tokens)
    }

    private func factor(_ sum: any HessianParts, settings: FactorSettings, _ residency: StageResidency) throws -> FactorOutcome {
        do {
            func make(_ settings: FactorSettings, penalty: Double = 0) throws -> StageFactor {
                try SharedFactor(
                    nodes: nodes, assignment: assignment, clock: clock, hessian: sum, settings: settings, penalty: penalty,
                    isComplete: residency.completeFactor, sharesPanels: residency.panelsOfHost, compute: compute
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
