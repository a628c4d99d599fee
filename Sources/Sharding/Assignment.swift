// Who does what: the plan cut for a number of ranks.

internal import LinearAlgebra
public import Transformers

/// The owners of batches, tiles, Hessians and output files for a number of ranks, and who shares the forward pass of a stage.
public struct Assignment: Sendable {
    public let ranks: Int
    /// Ranks of a tensor-parallel group; divides `ranks`.
    public let groupSize: Int
    /// Consecutive ranks that are taken to be on one host.
    public let ranksOfHost: Int

    public init(ranks: Int, groupSize: Int = 1, ranksOfHost: Int = 1) {
        precondition(ranks > 0 && groupSize > 0 && ranks % groupSize == 0, "\(ranks) ranks in groups of \(groupSize)")
        self.ranks = ranks
        self.groupSize = groupSize
        self.ranksOfHost = ranksOfHost
    }

    /// The ranks that share the forward pass with a rank: consecutive ones.
    public func group(of rank: Int) -> Range<Int> {
        let first = rank / groupSize * groupSize
        return first..<first + groupSize
    }

    /// Whether the ranks of a group run a stage forward together: one piece cannot be shared, and each then takes its own batches.
    public func shares(_ stage: Stage) -> Bool { groupSize > 1 && stage.pieces.count > 1 }

    /// The pieces of a stage that a rank computes: of a shared stage consecutive ones for its group, equal in number but for one. It holds the weights of no
    /// others.
    public func pieces(_ stage: Stage, of rank: Int) -> Range<Int> {
        let count = stage.pieces.count
        guard shares(stage) else { return 0..<count }
        let member = rank % groupSize
        return member * count / groupSize..<(member + 1) * count / groupSize
    }

    /// The batches of a rank.
    public func batches(_ plan: Plan, of rank: Int) -> Range<Int> { batches(of: rank, count: plan.batches.count) }

    /// The numbers of a rank's batches among `count`: consecutive ones, and as many as others have but for one.
    public func batches(of rank: Int, count: Int) -> Range<Int> { rank * count / ranks..<(rank + 1) * count / ranks }

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

    /// The rank that keeps a panel of columns of a Hessian: hosts in turn, and in turn the ranks of each, so that all have work while the matrix that is left
    /// gets smaller. Where hosts have unequal numbers of ranks, these are taken in turn.
    public func panelOwner(_ panel: Int) -> Int {
        let hosts = ranks / ranksOfHost
        guard hosts * ranksOfHost == ranks else { return panel % ranks }
        // Neighbours have other places on their hosts, too: all ranks of a host carry messages.
        let (host, round) = (panel % hosts, panel / hosts)
        return host * ranksOfHost + (round + host) % ranksOfHost
    }

    /// Multiplications and additions of a rank's part in a factorisation: updates of its panels by all earlier ones, and factoring them.
    public func factorOperations(columns: Int, of rank: Int) -> Double {
        choleskyPanels(order: columns).enumerated().filter { panelOwner($0.offset) == rank }.reduce(0) { sum, panel in
            let (before, width) = (Double(panel.element.lowerBound), Double(panel.element.count))
            let rows = Double(columns) - before
            return sum + 2 * before * width * (rows - width / 2) + width * width * (rows - width) + width * width * width / 3
        }
    }

    /// The rank that writes an output file.
    public func writer(ofShard shard: Int) -> Int {
        shard % ranks
    }
}
