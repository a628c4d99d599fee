// What a rank holds for linears that are to give the dense model's outputs: the mismatch of inputs, and the weights that it shifts.

internal import Compression
internal import LinearAlgebra
internal import Recipes
internal import Transformers

extension MemoryModel {
    /// Summing the mismatch of a stage's inputs beside R, and solving this rank's rows of the map to it.
    func mismatch(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        guard stage.needsDenseInput else { return 0 }
        let c = stage.columns, panels = choleskyPanels(order: c)
        let own = (panels.count + assignment.ranks - 1) / assignment.ranks, atOnce = residency.mismatchPanels ?? panels.count
        // The rank's own panels stay, in fp32, while others are summed.
        let rows = rowsOfPanels(own, c) * c * 4
        let sums = rows + rowsOfPanels(min(atOnce, panels.count), c) * c * 8
        let part = rowsOfPanels(min(atOnce, panels.count), c)
        // Both states and inputs of the batch in hand, their difference, and what the product's code reads of them.
        let batch = 2 * batchInput(stage) + batchTokens * c * operand * (assignment.groupSize > 1 ? 3 : 1)
        let operands = (isBFloat16 ? GramSum.operandBytes(columns: c, part: part, tokens: batchTokens) : 0) + batchTokens * part * 4
        let adding = sums + threads * ColumnBlocks.productBytes + max(batch + operands, summing(c))
        // The sums, whose place the last factor's map takes, and the maps of the others; one panel twice as a map begins and ends. R comes panel by panel
        // where it lies over the ranks.
        let pieces = panel(c, 4) + (residency.completeFactor ? 0 : panel(c, 4 + 4 + (isBFloat16 ? 2 : 0)))
        let solving = stage.factorCount * rows + pieces
        let r = stage.factorCount * (residency.completeFactor ? completeFactor(c) : ownPanels(c) / 2)
        return resting(stage) + r + max(adding, solving)
    }

    /// The least panels of a mismatch that fit, or all.
    func mismatchPanels(_ stage: StagePlan, _ residency: StageResidency, _ limit: Int) -> Int? {
        guard mismatch(stage, residency) > limit else { return nil }
        let panels = choleskyPanels(order: stage.columns).count
        // The fewest parts that fit: each costs a visit of the batches.
        let counts = Set((2...max(panels, 2)).map { (panels + $0 - 1) / $0 }).sorted(by: >)
        return counts.first { count in
            var residency = residency
            residency.mismatchPanels = count
            return mismatch(stage, residency) <= limit
        } ?? 1
    }

    /// The maps of a stage's factors on the rank that has the most rows of them, and the panel in hand.
    func mismatchMaps(_ stage: StagePlan) -> Int {
        guard stage.needsDenseInput else { return 0 }
        let own = (choleskyPanels(order: stage.columns).count + assignment.ranks - 1) / assignment.ranks
        return stage.factorCount * rowsOfPanels(own, stage.columns) * stage.columns * 4 + panel(stage.columns, 4)
    }

    /// The weights of so many tiles as they are read and as they are shifted.
    func shiftedWeights(_ stage: StagePlan, tiles: Int) -> Int {
        stage.needsDenseInput ? 2 * tiles * stage.tileRows * stage.columns * 4 : 0
    }

    private func rowsOfPanels(_ count: Int, _ columns: Int) -> Int { min(count * choleskyTileSize, columns) }
}
