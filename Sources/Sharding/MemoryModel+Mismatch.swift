// What a rank holds for linears that are to give the dense model's outputs: the sums of mismatches, the maps to them, and the weights that they shift.

internal import Compression
internal import LinearAlgebra
internal import Recipes
internal import Transformers

extension MemoryModel {
    /// Summing a stage's mismatches beside R, one after the other, and solving this rank's rows of the maps to them.
    func mismatch(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        guard stage.needsDenseInput else { return 0 }
        let r = stage.factorCount * (residency.completeFactor ? completeFactor(stage.columns) : ownPanels(stage.columns) / 2)
        // The maps of one stay while the next is summed.
        var (maps, most) = (0, 0)
        for mismatch in stage.mismatches {
            most = max(most, maps + max(adding(mismatch, stage, residency), solving(mismatch, stage, residency)))
            maps += stage.factorCount * ownRows(mismatch, stage)
        }
        return resting(stage) + r + most
    }

    /// Summing a mismatch, some panels at a time.
    private func adding(_ mismatch: Mismatch, _ stage: StagePlan, _ residency: StageResidency) -> Int {
        let c = stage.columns, rows = mismatch.columns(of: stage.stage), panels = choleskyPanels(order: rows).count
        let part = min(min(residency.mismatchPanels ?? panels, panels) * choleskyTileSize, rows)
        // The rank's own panels stay, in fp32, while others are summed.
        let sums = ownRows(mismatch, stage) + part * c * 8
        // Both states and inputs of the batch in hand, or another rank's input; what differs; and what the product's code reads of them.
        let isShared = assignment.groupSize > 1
        let batch = 2 * batchInput(stage) + batchTokens * operand * ((isShared ? c : 0) + (isShared ? 2 : 1) * rows)
        let operands = (isBFloat16 ? GramSum.operandBytes(columns: c, part: part, tokens: batchTokens) : 0) + batchTokens * part * 4
        return sums + threads * ColumnBlocks.productBytes + max(batch + operands, summing(c))
    }

    /// The sums, whose place the last factor's map takes, and the maps of the others; one panel twice as a map begins and ends. R comes panel by panel where it
    /// lies over the ranks.
    private func solving(_ mismatch: Mismatch, _ stage: StagePlan, _ residency: StageResidency) -> Int {
        let c = stage.columns
        let pieces = mapPanel(mismatch, stage) + (residency.completeFactor ? 0 : panel(c, 4 + 4 + (isBFloat16 ? 2 : 0)))
        return stage.factorCount * ownRows(mismatch, stage) + pieces
    }

    /// Summing an expert's mismatch beside its Hessian: the whole in fp64, and what the squares of differences are taken of. What its panels in fp32 take as the sum ends
    /// is no more than the Hessian's on their way to the factor.
    func expertHessian(_ stage: StagePlan) -> Int {
        hessian(stage, .whole) + sumsOfExpert(stage, width: 8) + (stage.needsDenseInput ? batchTokens * stage.columns * 4 : 0)
    }

    /// Factoring an expert's Hessian beside the sums in fp32.
    func expertFactor(_ stage: StagePlan) -> Int { factor(stage, .whole) + sumsOfExpert(stage, width: 4) }

    /// Solving an expert's maps beside R.
    func expertMaps(_ stage: StagePlan) -> Int {
        guard stage.needsDenseInput else { return 0 }
        let maps = stage.mismatches.map { solving($0, stage, .whole) }.max() ?? 0
        return resting(stage) + stage.factorCount * completeFactor(stage.columns) + maps
    }

    private func sumsOfExpert(_ stage: StagePlan, width: Int) -> Int {
        stage.mismatches.reduce(0) { $0 + $1.columns(of: stage.stage) * stage.columns * width }
    }

    /// The least panels of a mismatch that fit, or all.
    func mismatchPanels(_ stage: StagePlan, _ residency: StageResidency, _ limit: MemoryLimit) -> Int? {
        guard !mismatchFits(stage, residency, limit) else { return nil }
        let panels = stage.mismatches.map { choleskyPanels(order: $0.columns(of: stage.stage)).count }.max() ?? 1
        // The fewest parts that fit: each costs a visit of the batches.
        let counts = Set((2...max(panels, 2)).map { (panels + $0 - 1) / $0 }).sorted(by: >)
        return counts.first { count in
            var residency = residency
            residency.mismatchPanels = count
            return mismatchFits(stage, residency, limit)
        } ?? 1
    }

    /// The maps of a stage's factors on the rank that has the most rows of them, and the panel in hand.
    func mismatchMaps(_ stage: StagePlan) -> Int {
        let maps = stage.mismatches.reduce(0) { $0 + stage.factorCount * ownRows($1, stage) }
        return maps + (stage.mismatches.map { mapPanel($0, stage) }.max() ?? 0)
    }

    /// The weights of so many tiles as they are read and as they are shifted.
    func shiftedWeights(_ stage: StagePlan, tiles: Int) -> Int {
        stage.needsDenseInput ? 2 * tiles * stage.tileRows * stage.columns * 4 : 0
    }

    /// A panel of a map.
    private func mapPanel(_ mismatch: Mismatch, _ stage: StagePlan) -> Int {
        min(choleskyTileSize, mismatch.columns(of: stage.stage)) * stage.columns * 4
    }

    /// The rows of a sum or a map in fp32 with the rank that has the most.
    private func ownRows(_ mismatch: Mismatch, _ stage: StagePlan) -> Int {
        let rows = mismatch.columns(of: stage.stage), panels = choleskyPanels(order: rows).count
        return min((panels + assignment.ranks - 1) / assignment.ranks * choleskyTileSize, rows) * stage.columns * 4
    }
}
