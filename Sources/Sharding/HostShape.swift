// How ranks lie on hosts, as far as a plan knows it.

internal import LinearAlgebra

/// Ranks on hosts: as many consecutive ones on each, but for the last one, which may have fewer.
struct HostShape {
    let ranks: Int
    /// Of the host that has the most.
    let most: Int

    init(ranks: Int, most: Int) {
        self.ranks = ranks
        self.most = min(most, ranks)
    }

    var hosts: Int { (ranks + most - 1) / most }

    /// The ranks of a host.
    func ranks(of host: Int) -> Range<Int> { host * most..<min((host + 1) * most, ranks) }

    /// The rank of a host that carries what comes from, or goes to, a rank: the one at its place, or the last.
    func carrier(of rank: Int, on host: Int) -> Int { min(host * most + rank % most, ranks - 1) }
}

extension Plan {
    /// Ranks that a plan takes to be on a host where nothing says it.
    public static let usualRanksOfHost = 8

    /// Sums of panels that ranks of a host carry to their owners side by side.
    public static let sumsAtOnce = 8

    /// Bytes of the memory in which the ranks of a host add up the panels of a matrix: as much as one panel takes in fp64, however many ranks there are.
    public static func sumBytes(columns: Int) -> Int { max(columns * min(choleskyTileSize, columns) * 8, 1 << 20) }

    /// What a rank knows of the panels in hand while they are summed: for each row of a panel numbers of a few words.
    static func sumOrderBytes(columns: Int, ranks: Int) -> Int { min(ranks, sumsAtOnce) * columns * 64 }
}
