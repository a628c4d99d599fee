// The encoded tiles that a rank holds: those that it solves, and those from which it decodes its weights.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

extension MemoryModel {
    /// Tiles of the rank that has the most.
    func ownTiles(_ stage: StagePlan) -> Int {
        assignment.owners(of: stage.tiles).reduce(into: [:]) { $0[$1, default: 0] += 1 }.values.max() ?? 0
    }

    /// All encoded tiles of a stage, which lie in one piece of memory.
    func encoded(_ stage: StagePlan) -> Int {
        MemoryPool.pieceBytes(stage.tiles.reduce(0) { $0 + stage.bytes(of: $1) })
    }

    /// The encoded tiles of a stage on the rank that has the most: those that it solves, and all that it holds while the others send theirs.
    func encodedTiles(_ stage: StagePlan) -> (own: Int, held: Int) {
        var parts = [Int](repeating: 0, count: assignment.ranks)
        for (tile, owner) in zip(stage.tiles, assignment.owners(of: stage.tiles)) { parts[owner] += stage.bytes(of: tile) }
        let own = MemoryPool.pieceBytes(parts.max() ?? 0)
        // A part of another rank from which some tiles are taken is there beside them.
        return (own, assignment.groupSize == 1 ? encoded(stage) : min(encoded(stage), 2 * own + neededTiles(stage)))
    }

    /// The encoded tiles from which a rank's pieces are decoded.
    func neededTiles(_ stage: StagePlan) -> Int {
        guard assignment.groupSize > 1 else { return encoded(stage) }
        let pieces = stage.stage.pieces
        return (0..<assignment.groupSize).map { member in
            let parts = pieces[assignment.pieces(stage.stage, of: member)].flatMap(\.parts)
            return stage.tiles.reduce(0) { sum, tile in
                parts.contains { $0.linear == tile.linear && $0.rows.overlaps(tile.rows) } ? sum + stage.bytes(of: tile) : sum
            }
        }.max() ?? 0
    }

    /// The block's tiles that a rank still holds: its own until they are committed, those of its pieces too where the block runs twice.
    func mostCommitting() -> Int {
        plan.blocks.map { block in
            let dense = block.stages.prefix(block.block.denseStages.count)
            let all = dense.reduce(0) { $0 + encoded($1) }
            // A rank's share of each stage is even but for a tile.
            let tile = dense.reduce(0) { sum, stage in sum + (stage.tiles.map(stage.bytes).max() ?? 0) }
            let needed = plan.recipe.propagation == .block ? dense.reduce(0) { $0 + neededTiles($1) } : 0
            return min(all, all / assignment.ranks + tile + needed) + committingExperts(block)
        }.max() ?? 0
    }

    private func committingExperts(_ block: BlockPlan) -> Int {
        guard let mixture = block.block.mixture else { return 0 }
        let one = mixture.stages(of: 0).reduce(0) { $0 + encoded(block.stages[$1]) }
        // Greedy packing gives a rank that has the smallest ones more of them.
        let own = min(2 * ((mixture.experts + assignment.ranks - 1) / assignment.ranks), mixture.experts) * one
        return plan.recipe.propagation == .block ? own : min(own, Plan.expertBytesOfPart + one)
    }
}
