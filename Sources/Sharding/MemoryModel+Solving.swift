// What a rank holds while a stage is solved: the Hessian's sum, the factor, and the tiles at work.

internal import Compression
internal import LinearAlgebra
internal import Recipes
internal import Transformers

extension MemoryModel {
    /// Summing a stage's Hessian, and reducing it to the owners of its panels.
    func hessian(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        guard stage.needsHessian else { return 0 }
        // Of a rank's own batch, or of another rank's.
        let c = stage.columns, input = max(batchInput(stage), assignment.groupSize > 1 ? batchTokens * stage.columns * operand : 0)
        let product = threads * ColumnBlocks.productBytes
        func operands(_ part: Int) -> Int { isBFloat16 ? GramSum.operandBytes(columns: c, part: part, tokens: batchTokens) : 0 }
        guard let blocks = residency.hessianBlocks else {
            return resting(stage) + product + sum(c) + max(input + operands(c), heldPanels(c, residency) + summing(c))
        }
        let parts = ColumnBlocks.parts(of: c, blocks: blocks), width = parts.map(\.count).max() ?? 0
        let part = parts.map { sum(c, part: $0) }.max() ?? 0
        return resting(stage) + product + diagonalBlocks(c) + part + heldPanels(c, residency) + max(input + operands(width), summing(c))
    }

    /// The factorisation: panels in fp64 become those of R.
    func factor(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        guard stage.needsHessian else { return 0 }
        let c = stage.columns, settings = stage.factorCount
        let panelInHand = panelsInHand(c)
        let sum = rest(ofSum: c, residency)
        guard residency.completeFactor else {
            // A panel's own part of R exists before its fp64 goes.
            return resting(stage) + sum + (settings - 1) * ownPanels(c) / 2 + panel(c, 4) + ownPanels(c) + panelInHand
        }
        let r = (settings - 1) * completeFactor(c) + upperTriangle(c) + inverses(stage, making: true)
        return resting(stage) + sum + r + max(heldPanels(c, residency) + panelInHand, completeFactor(c) - upperTriangle(c))
    }

    /// What the ranks of a host share of a stage: of the Hessian, while it is summed; then of it, R and the panels in hand; then of R.
    func shared(_ stage: StagePlan, _ residency: StageResidency) -> (hessian: Int, factor: Int, solve: Int) {
        guard stage.needsHessian, ranksOfHost > 1 else { return (0, 0, 0) }
        let c = stage.columns, rest = rest(ofSum: c, residency)
        let part = residency.hessianBlocks.map { ColumnBlocks.parts(of: c, blocks: $0).map { sum(c, part: $0) }.max() ?? 0 } ?? 0
        let r = residency.completeFactor ? stage.factorCount * completeFactor(c) : 0
        let growing = residency.completeFactor ? (stage.factorCount - 1) * completeFactor(c) + upperTriangle(c) : 0
        let panels = residency.panelsOfHost ? heldPanels(c, residency) : 0
        return (rest + part, rest + growing + panels + panelsInHand(c), r)
    }

    /// A sum of X^T X, or some columns of it.
    private func sum(_ columns: Int, part: Range<Int>? = nil) -> Int {
        ranksOfHost > 1 ? GramSum.sharedByteCount(columns: columns, part: part) : GramSum.byteCount(columns: columns, part: part)
    }

    /// What stays of the sum while panels are factored.
    private func rest(ofSum columns: Int, _ residency: StageResidency) -> Int { residency.hessianBlocks == nil ? sum(columns) : diagonalBlocks(columns) }

    /// Of the panels that are factored, the one that is on its way and the one before it: in fp64, and most often in fp32 where products are.
    private func panelsInHand(_ columns: Int) -> Int { 2 * panel(columns, 8) }

    /// Solving a rank's tiles of a stage, and gathering those of all ranks.
    func solve(_ stage: StagePlan, _ residency: StageResidency) -> Int {
        let c = stage.columns
        guard !stage.tiles.isEmpty else { return 0 }
        let lanes = (stage.tileRows + 31) / 32 * 32
        let count = ownTiles(stage)
        // Weights twice in fp32 (as read, and transposed), errors, codes twice; what rounding to nearest keeps is about the same.
        let narrowed = isBFloat16 ? 2 : 0
        let partial = stage.needsHessian ? ColumnLoop.partialBytes(columns: c, lanes: lanes) : 0
        // Outliers of SpQR in fp32, then twice in half precision.
        let outliers = stage.hasSpQR ? 8 : 0
        let atOnce = c * lanes * (4 + 4 + 4 + narrowed + 1 + 1 + outliers) + partial + stage.transposedWeights * 4
        var tiles: Int
        var shifted = shiftedWeights(stage, tiles: count)
        if stage.prunes {
            // Values and masks besides; R where there is a Hessian.
            let columnLoop = count * c * lanes * (4 + 4 + 4 + 4 + narrowed + 1 + 1) + min(threads, count) * partial
            let admm = stage.tiles.contains(where: stage.isADMM) ? c * lanes * (count * ADMM.heldBytes + min(threads, count) * ADMM.workBytes) : 0
            tiles = (stage.needsHessian ? stage.factorCount * completeFactor(c) : 0) + max(columnLoop, admm, exactOBS(stage, count: count, lanes: lanes))
            tiles += stage.transposedWeights * 4
        } else if !stage.needsHessian {
            tiles = min(threads, count) * atOnce
        } else if residency.completeFactor {
            tiles = stage.factorCount * completeFactor(c) + min(threads, count) * atOnce + rowsInHand(stage)
        } else {
            let held = c * lanes * (4 + 4 + narrowed + 1 + outliers / 2) + (stage.hasRounding ? c * lanes * 4 : 0)
            let inHand = min(residency.tilesAtOnce ?? count, count)
            shifted = shiftedWeights(stage, tiles: inHand)
            let pieces = c * min(stage.panelColumns, c) * (4 + narrowed) + panel(c, 4)
            tiles = stage.factorCount * ownPanels(c) / 2 + inHand * held + max(min(threads, inHand) * (atOnce - held), pieces)
        }
        tiles = max(tiles, stage.outlierSums + min(threads, count) * c * lanes * 4)
        // A rank's own tiles while it solves them; then those that it needs of the others, while R is still there.
        let (own, held) = encodedTiles(stage)
        let r = !stage.needsHessian ? 0 : stage.factorCount * (residency.completeFactor ? completeFactor(c) : ownPanels(c) / 2)
        return resting(stage) + mismatchMaps(stage) + inverses(stage) + (stage.prunes ? held + tiles : max(own + tiles + shifted, held + r))
    }

    /// The panels of a matrix in fp64 with the rank that has the most.
    func ownPanels(_ columns: Int) -> Int {
        var bytes = [Int](repeating: 0, count: assignment.ranks)
        for (index, range) in choleskyPanels(order: columns).enumerated() {
            bytes[assignment.panelOwner(index)] += (columns - range.lowerBound) * range.count * 8
        }
        return bytes.max() ?? 0
    }

    /// The panels in fp64 that a rank works on: its own, or its host's.
    private func heldPanels(_ columns: Int, _ residency: StageResidency) -> Int {
        guard residency.panelsOfHost else { return ownPanels(columns) }
        let all = choleskyPanels(order: columns).reduce(0) { $0 + (columns - $1.lowerBound) * $1.count * 8 }
        return min(ranksOfHost * ownPanels(columns), all)
    }

    /// What the ranks of a host share while they sum panels, all of which each of them touches; what comes from another host; and what a rank knows of the order.
    func summing(_ columns: Int) -> Int {
        let shared = Plan.sumBytes(columns: columns)
        return shared + (assignment.ranks > 1 ? shared : 0) + Plan.sumOrderBytes(columns: columns, ranks: assignment.ranks)
    }

    func panel(_ columns: Int, _ width: Int) -> Int { columns * min(choleskyTileSize, columns) * width }

    /// R in fp32, and in bf16 where products are.
    func completeFactor(_ columns: Int) -> Int { upperTriangle(columns) + (isBFloat16 ? Factor.narrowedBytes(columns: columns) : 0) }

    /// R in fp32, of which elements on and above the diagonal are written, to whole pages in each row.
    private func upperTriangle(_ columns: Int) -> Int { MemoryPool.TriangleShape(order: columns, elementByteCount: 4).usedByteCount }

    private func diagonalBlocks(_ columns: Int) -> Int {
        ranksOfHost > 1 ? GramSum.sharedByteCount(diagonalOf: columns) : min(ColumnBlocks.mostColumns, columns) * columns * 8
    }
}
