// What of a stage's Hessian, factor and tiles is in memory at once, so that a limit is kept.

internal import LinearAlgebra

extension MemoryModel {
    /// The fastest way to solve a stage that fits, or the one that needs the least where none does.
    func residency(_ stage: StagePlan, _ limit: MemoryLimit) -> StageResidency {
        guard stage.needsHessian else { return .whole }
        var choice = StageResidency.whole
        // On several hosts a host's panels take no more than R does. On one they would be a second Hessian, and gain little.
        choice.panelsOfHost = hosts > 1 && ranksOfHost > 1
        guard !limit.isNone else { return choice }
        if !sumsFit(stage, choice, limit) { choice.panelsOfHost = false }
        let blocks = ColumnBlocks.ranges(of: stage.columns).count
        if !sumsFit(stage, choice, limit) {
            // The fewest parts that fit: each costs a visit of the batches.
            let counts = Set((2...max(blocks, 2)).map { (blocks + $0 - 1) / $0 }).sorted(by: >)
            choice.hessianBlocks =
                counts.first { count in
                    let parts = StageResidency(hessianBlocks: count, completeFactor: true, tilesAtOnce: nil)
                    return keeps(limit, hessian(stage, parts), shared: shared(stage, parts).hessian)
                } ?? 1
        }
        let fitsWhole =
            keeps(limit, factor(stage, choice), shared: shared(stage, choice).factor) && solveFits(stage, choice, limit)
            && mismatchFits(stage, withLeastMismatch(choice), limit)
        guard !stage.needsCompleteFactor, !fitsWhole else {
            choice.mismatchPanels = mismatchPanels(stage, choice, limit)
            return choice
        }
        (choice.completeFactor, choice.panelsOfHost) = (false, false)
        choice.mismatchPanels = mismatchPanels(stage, choice, limit)
        let tiles = max(stage.tiles.count, 1)
        choice.tilesAtOnce =
            stride(from: tiles, to: 0, by: -1).first { count in
                solveFits(stage, StageResidency(hessianBlocks: choice.hessianBlocks, completeFactor: false, tilesAtOnce: count), limit)
            } ?? 1
        return choice
    }

    /// Whether a stage's Hessian can be summed and factored.
    private func sumsFit(_ stage: StagePlan, _ choice: StageResidency, _ limit: MemoryLimit) -> Bool {
        let shared = shared(stage, choice)
        return keeps(limit, factor(stage, choice), shared: shared.factor) && keeps(limit, hessian(stage, choice), shared: shared.hessian)
    }

    private func solveFits(_ stage: StagePlan, _ choice: StageResidency, _ limit: MemoryLimit) -> Bool {
        keeps(limit, solve(stage, choice), shared: stage.tiles.isEmpty ? 0 : shared(stage, choice).solve)
    }

    func mismatchFits(_ stage: StagePlan, _ choice: StageResidency, _ limit: MemoryLimit) -> Bool {
        keeps(limit, mismatch(stage, choice), shared: stage.needsDenseInput ? shared(stage, choice).solve : 0)
    }

    private func withLeastMismatch(_ choice: StageResidency) -> StageResidency {
        var choice = choice
        choice.mismatchPanels = 1
        return choice
    }
}
