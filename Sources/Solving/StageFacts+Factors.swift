// What the journal and the report say of the factors of a stage.

package import Checkpoints
internal import Compression
package import Sharding

extension StagePlan {
    /// What the report says of the stage's factors.
    ///
    /// - Parameter tokens: that entered the Hessian.
    package func facts(_ factors: [FactorSettings: FactorOutcome], tokens: Int) -> StageFacts {
        StageFacts(linears: linears.map { linear in linear.treatment.flatMap { factors[FactorSettings($0)] }.map(LinearFacts.init) }, tokens: tokens)
    }
}

extension LinearFacts {
    fileprivate init(_ outcome: FactorOutcome) {
        switch outcome {
        case .factor(let factor):
            self.init(
                damping: factor.outline.dampingFraction, attempts: factor.outline.attempts, deadColumns: factor.outline.deadColumns.count, fallback: nil,
                effectiveRank: factor.effectiveRank.isFinite ? factor.effectiveRank : nil)
        case .singular(let reason):
            self.init(damping: 0, attempts: 0, deadColumns: 0, fallback: reason)
        }
    }
}
