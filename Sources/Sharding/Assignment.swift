// Who does what: the plan cut for a number of ranks.

/// The owners of batches, tiles, Hessians and output files for a number of ranks.
public struct Assignment: Sendable {
    public let ranks: Int

    public init(ranks: Int) {
        precondition(ranks > 0, "\(ranks) ranks")
        self.ranks = ranks
    }

    /// The batches of a rank: consecutive, and equal in number but for one.
    public func batches(_ plan: Plan, of rank: Int) -> Range<Int> {
        let count = plan.batches.count
        return rank * count / ranks..<(rank + 1) * count / ranks
    }

    /// The owner of each of some tiles: consecutive tiles, balanced by their rows.
    public func owners(of tiles: [Tile]) -> [Int] {
        let total = tiles.reduce(0) { $0 + $1.rows.count }
        var before = 0
        return tiles.map { tile in
            defer { before += tile.rows.count }
            // The rank in whose share the tile's middle row lies.
            return min((2 * before + tile.rows.count) * ranks / (2 * max(total, 1)), ranks - 1)
        }
    }

    /// The rank that factors the Hessian of a stage: in turn, and one further every round, so that no rank always gets a block's widest stage.
    public func factorOwner(block: Int, stage: Int) -> Int {
        let turn = block * 4 + stage
        return (turn + turn / ranks) % ranks
    }

    /// The rank that writes an output file.
    public func writer(ofShard shard: Int) -> Int {
        shard % ranks
    }
}
