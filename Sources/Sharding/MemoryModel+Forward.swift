// What a rank holds while a stage runs forward, by itself or with the other ranks of its tensor-parallel group.

internal import Recipes
internal import Transformers

extension MemoryModel {
    /// The forward pass through a stage with its compressed weights.
    func forward(_ stage: StagePlan) -> Int {
        let pieces = stage.stage.pieces
        let shares = (0..<assignment.groupSize).map { pieces[assignment.pieces(stage.stage, of: $0)] }
        let weights = (shares.map { $0.reduce(0) { $0 + $1.rows } }.max() ?? 0) * stage.columns * operand
        // Compressed linears: tiles being decoded, and the parts of pieces to which they belong before these are packed.
        let part = pieces.flatMap(\.parts).map(\.rows.count).max() ?? 0
        let decoded = min(threads, stage.tiles.count) * stage.tileRows * stage.columns * (4 + 2)
        let unpacked = isBFloat16 ? min(threads, pieces.count) * part * stage.columns * operand : 0
        // Linears with the weights of the checkpoint: rows as read and as they are sent; then the whole, plain and packed side by side for a moment.
        let isDense = plan.recipe.propagation != .stage || plan.needsDenseInputs
        let rows = stage.linears.filter { isDense || $0.treatment == nil }.map(\.linear.rows).max() ?? 0
        let kept = min(1024, rows) * stage.columns * ((isBFloat16 ? 4 : 0) + (assignment.groupSize > 1 ? operand : 0))
        let packing = isBFloat16 ? rows * stage.columns * operand : 0
        // A linear that is stored transposed is whole in fp32 for a moment, before and after.
        let loading = max(decoded + unpacked, kept, packing, stage.transposedWeights * 8)
        let columns = shares.map { $0.reduce(0) { $0 + $1.columns.count } }.max() ?? 0
        let running = (pieces.map { temporaries($0) }.max() ?? 0) + max(own(stage, columns), help(stage, columns))
        return resting(stage, leaving: true) + neededTiles(stage) + weights + max(loading, running)
    }

    /// A batch of the rank itself: the stage's input and result, and a part of the result that comes from another rank.
    ///
    /// - Parameter columns: the most that a rank computes.
    private func own(_ stage: StagePlan, _ columns: Int) -> Int {
        // Or what it sends of the values that the effect reads.
        let received =
            !assignment.shares(stage.stage)
            ? 0 : tokensAtOnce(stage) * max(columns * stage.stage.destination.numberBytes(compute), stage.stage.readColumns * operand)
        return batchInput(stage) + batchTokens * stage.stage.destination.restingBytes(compute) + received
    }

    /// A batch of another rank: the input and the part of the result of as many tokens as pass at once.
    private func help(_ stage: StagePlan, _ columns: Int) -> Int {
        guard assignment.shares(stage.stage) else { return 0 }
        return tokensAtOnce(stage) * ((stage.columns + stage.stage.readColumns) * operand + columns * stage.stage.destination.numberBytes(compute))
    }

    /// What computing a piece takes besides.
    private func temporaries(_ piece: Piece) -> Int {
        piece.effect.workspaceBytes(rows: piece.rows, tokens: piece.effect.seesOtherTokens ? length : batchTokens, compute: compute, threads: threads)
    }

    private func tokensAtOnce(_ stage: StagePlan) -> Int { stage.stage.tokensAtOnce(length: length, batchTokens: batchTokens) }
}
