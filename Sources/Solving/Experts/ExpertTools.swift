// What a rank works on its experts with.

package import Calibration
package import Checkpoints
package import Reporting

/// What both stages of an expert need of the run. Solver and Hessian are those of this rank alone.
package struct ExpertTools {
    let solver: StageSolver
    let hessian: StageHessian
    /// Of a group of this rank alone.
    let weights: StageWeights
    let committed: CommittedTiles
    let clock: PhaseClock
    /// Whether outputs are those of compressed weights as soon as there are any.
    let runsCompressed: Bool

    package init(
        solver: StageSolver, hessian: StageHessian, weights: StageWeights, committed: CommittedTiles, clock: PhaseClock, runsCompressed: Bool
    ) {
        (self.solver, self.hessian, self.weights) = (solver, hessian, weights)
        (self.committed, self.clock, self.runsCompressed) = (committed, clock, runsCompressed)
    }
}
