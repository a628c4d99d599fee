// What a stage's linears lose with each of the treatments among which a budget is to choose.

package import Checkpoints
internal import Packing
package import Sharding
internal import Transformers

extension StageSolver {
    /// Solves a stage with each of its choices, and keeps none of it but what was lost. Collective over the solver's ranks.
    ///
    /// - Parameters:
    ///   - factors: by settings, those of all choices.
    ///   - solved: the stage with its own treatments, the probed choice.
    ///   - nothing: committed, of this run.
    /// - Returns: nil where there are no choices; else of each choice, for each linear that has it, ||(W - Q) R||^2 / ||W R||^2 over the tiles on which the latter is
    ///   measured; nil without a usable Hessian.
    package func losses(
        _ stage: StagePlan, block: Int, index: Int, factors: [FactorSettings: FactorOutcome], tilesAtOnce: Int?, solved: SolvedStage, nothing: CommittedTiles
    ) throws -> [[Double?]]? {
        guard stage.choiceCount > 0 else { return nil }
        return try (0..<stage.choiceCount).map { choice in
            let chosen = stage.choosing(choice)
            let isOwn = zip(chosen.linears, stage.linears).allSatisfy { $0.treatment == $1.treatment }
            let result =
                isOwn
                ? solved
                : try solve(chosen, block: block, index: index, factors: factors, tilesAtOnce: tilesAtOnce, committed: nothing, needed: [])
            return stage.linears.indices.filter { !stage.linears[$0].choices.isEmpty }.map { result.loss(of: $0, stage) }
        }
    }
}

extension SolvedStage {
    /// Of a linear, see `LossTable.Choice`.
    fileprivate func loss(of linear: Int, _ stage: StagePlan) -> Double? {
        let sampled = stage.tiles(of: linear).map { measures[$0].sampled }
        let (loss, energy) = sampled.reduce((0.0, 0.0)) { ($0.0 + $1.loss, $0.1 + $1.energy) }
        return energy > 0 && (loss / energy).isFinite ? loss / energy : nil
    }
}
