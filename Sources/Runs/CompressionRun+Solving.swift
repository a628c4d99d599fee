// Solving a stage of a run: its Hessian, its factors, its tiles, and what is noted of them.

internal import Calibration
internal import Checkpoints
internal import Compression
internal import MessagePassing
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Solving
internal import Texts
internal import Transformers

extension CompressionRun {
    /// Solves the tiles of a stage that are not committed, from its Hessian. Collective.
    func solveStage(_ stage: StagePlan, block: Int, index: Int) throws -> SolvedStage {
        let keys = stage.tiles.indices.map { TileKey(block: block, stage: index, tile: $0) }
        let reused = keys.count(where: committed.contains)
        solver.readAhead(
            stage, isMissing: { !committed.contains(keys[$0]) }, pieces: batches.pieces(stage.stage), isDense: plan.recipe.propagation != .stage || dense != nil
        )
        let (factors, inputMagnitude) = reused == keys.count ? ([:], 0) : try makeFactors(stage, block: block, index: index)
        let mismatches = try makeMismatches(stage, block: block, index: index, factors)
        let result = try solver.solve(
            stage, block: block, index: index, factors: factors, inputMagnitude: inputMagnitude, mismatches: mismatches,
            tilesAtOnce: memory.stages[block][index].tilesAtOnce, committed: committed,
            needed: neededTiles(stage, block: block, index: index))
        try result.checkScales(stage, limit: plan.recipe.limits.clampedScales)
        if reused < keys.count {
            let losses = try solver.losses(
                stage, block: block, index: index, factors: factors, tilesAtOnce: memory.stages[block][index].tilesAtOnce, solved: result,
                nothing: committed.none)
            if let losses { findings.note(losses: losses, block: block, index: index) }
        }
        progress?.did(.solving(stage: stage.stage.name), work: solvingWork(block, index))
        count(stage, block: block, index: index, reused: reused)
        return result
    }

    /// Counts the tiles of a stage that is done.
    func count(_ stage: StagePlan, block: Int, index: Int, reused: Int) {
        let solved = stage.tiles.count - reused
        counts.solved += solved
        counts.reused += reused
        progress?.advance(block: block, stage: stage.stage.name, solved: solved, reused: reused)
    }

    /// Takes in what was found of a stage's Hessian.
    func note(_ found: StageFacts, _ stage: StagePlan, block: Int, index: Int) {
        if let remark = findings.note(found, stage, block: block, index: index) { progress?.say("note: \(remark)\n") }
    }

    /// The tiles of a stage from which this rank's pieces are decoded.
    private func neededTiles(_ stage: StagePlan, block: Int, index: Int) -> Set<Int> {
        guard plan.recipe.propagation != .none, isWork(after: block, index) else { return [] }
        let parts = batches.pieces(stage.stage).flatMap(\.parts)
        return Set(stage.tiles.indices.filter { tile in parts.contains { $0.linear == stage.tiles[tile].linear && $0.rows.overlaps(stage.tiles[tile].rows) } })
    }

    /// The factors that a stage needs, and the largest |x| of its inputs.
    private func makeFactors(_ stage: StagePlan, block: Int, index: Int) throws -> (factors: [FactorSettings: FactorOutcome], inputMagnitude: Float) {
        guard let tokens, stage.linears.contains(where: { $0.treatment != nil }) else { return ([:], 0) }
        let residency = memory.stages[block][index]
        let sum = try hessian.accumulate(
            batches, stage.stage, tokens: tokens.tokenCount, blocks: residency.hessianBlocks, name: "\(plan.blocks[block].block.name), \(stage.stage.name)")
        let factors = try hessian.factors(sum, stage, residency)
        let found = stage.facts(factors, tokens: tokens.tokenCount)
        note(found, stage, block: block, index: index)
        try findings.check()
        return (factors, sum.maxMagnitude)
    }

    /// What shifts the weights of linears with `target: dense`.
    private func makeMismatches(_ stage: StagePlan, block: Int, index: Int, _ factors: [FactorSettings: FactorOutcome]) throws -> StageMismatches {
        guard let dense, let tokens else { return [:] }
        return try hessian.mismatches(
            batches, dense, stage, tokens: tokens.tokenCount, panelsAtOnce: memory.stages[block][index].mismatchPanels, factors)
    }
}
