// Exact sums over ranks that are made on each node first.

/// What a rank adds to one sum of fp64 values, and what becomes of the sum. Values lie in rows, of which some are asked for at a time.
public protocol Summand {
    /// Where the values of each row begin, and the end; the same on every rank.
    var starts: [Int] { get }

    /// Whether the ranks of a node have the same values, of which each is added once.
    var isOfNode: Bool { get }

    /// Adds this rank's values of some rows to those that are there, or puts them there.
    func add(_ rows: Range<Int>, to values: UnsafeMutablePointer<Double>, isFirst: Bool)

    /// Takes the sums of some rows; called on the rank that the sum goes to.
    func take(_ rows: Range<Int>, _ sums: UnsafeMutablePointer<Double>)
}

/// Sums over all ranks in memory that each node shares: its ranks add to the same values, and one message for each node goes on to the sum's owner.
///
/// A piece of a sum is cut into as many slices as the node has ranks. In each turn every rank adds its values of another slice, so that all are at work and
/// none writes where another does. Additions must not round: any order then gives the same bits. Several sums with different owners go on side by
/// side, each over another rank of the node. Two halves of the memory take turns, so that one is filled and sent while the other is still on its way.
public final class NodeSum {
    private let groups: NodeGroups
    private let memory: SharedMemory
    /// Values of a half.
    private let capacity: Int
    private let atOnce: Int
    private var turn = 0

    /// Collective.
    ///
    /// - Parameters:
    ///   - byteCount: of the memory that a node shares; a row of each sum that goes on must fit into half of it.
    ///   - atOnce: sums that go on side by side, at most. On one node there is no message to wait for, and one follows the other.
    public init(_ groups: NodeGroups, byteCount: Int, atOnce: Int) throws {
        self.groups = groups
        self.atOnce = groups.count > 1 ? min(groups.mostRanks, atOnce) : 1
        capacity = byteCount / MemoryLayout<Double>.stride / 2
        memory = try SharedMemory(groups.own, byteCount: byteCount)
    }

    /// Makes some sums. Collective.
    ///
    /// - Parameters:
    ///   - owners: the rank that each sum goes to.
    ///   - summand: this rank's values of a sum, by its number among them.
    public func add<S: Summand>(_ owners: [Int], _ summand: (Int) -> S) throws(MPIError) {
        let order = groups.alternating(owners)
        for first in stride(from: 0, to: order.count, by: atOnce) {
            let round = order[first..<min(first + atOnce, order.count)]
            try add(round.map { ($0, owners[$0]) }.map { ($0.1, summand($0.0)) })
        }
    }

    /// A piece on its way to the rank that takes it.
    private struct Piece<S: Summand> {
        let sum: NodeGroups.PendingSum
        let rows: Range<Int>
        let values: UnsafeMutablePointer<Double>
        /// nil on other ranks than the owner.
        let owner: S?
    }

    private func add<S: Summand>(_ sums: [(owner: Int, values: S)]) throws(MPIError) {
        let room = capacity / sums.count
        let pieces = sums.map { Self.pieces($0.values.starts, room) }
        var pending: [Piece<S>] = []
        for step in 0..<(pieces.map(\.count).max() ?? 0) {
            let half = memory.base.assumingMemoryBound(to: Double.self) + (turn % 2) * capacity
            turn += 1
            // What was in this half has gone from all ranks of the node.
            try groups.own.barrier()
            let inHand = sums.indices.filter { step < pieces[$0].count }
            let places = inHand.map { (values: sums[$0].values, rows: pieces[$0][step], base: half + $0 * room) }
            try addSlices(places)
            var begun: [Piece<S>] = []
            for (index, place) in zip(inHand, places) {
                let (starts, owner) = (place.values.starts, sums[index].owner)
                let values = UnsafeMutableBufferPointer(start: place.base, count: starts[place.rows.upperBound] - starts[place.rows.lowerBound])
                begun.append(
                    Piece(
                        sum: try groups.beginSum(values, to: owner), rows: place.rows, values: place.base,
                        owner: groups.world.rank == owner ? place.values : nil))
            }
            // While these are on their way, those of the other half arrive.
            try finish(pending)
            pending = begun
        }
        try finish(pending)
    }

    /// Adds the values of all ranks of the node to some pieces: in each turn those of another slice. What belongs to the node takes one turn.
    private func addSlices<S: Summand>(_ pieces: [(values: S, rows: Range<Int>, base: UnsafeMutablePointer<Double>)]) throws(MPIError) {
        let own = groups.own
        for shift in 0..<own.size {
            for piece in pieces where shift == 0 || !piece.values.isOfNode {
                let starts = piece.values.starts
                let rows = Self.slice((own.rank + shift) % own.size, of: own.size, piece.rows, starts)
                guard !rows.isEmpty else { continue }
                piece.values.add(rows, to: piece.base + (starts[rows.lowerBound] - starts[piece.rows.lowerBound]), isFirst: shift == 0)
            }
            if shift == 0 || pieces.contains(where: { !$0.values.isOfNode }) { try own.barrier() }
        }
    }

    private func finish<S: Summand>(_ pieces: [Piece<S>]) throws(MPIError) {
        for piece in pieces {
            try piece.sum.finish()
            piece.owner?.take(piece.rows, piece.values)
        }
    }

    /// Rows in pieces of at most so many values.
    static func pieces(_ starts: [Int], _ room: Int) -> [Range<Int>] {
        var (pieces, first) = ([Range<Int>](), 0)
        let rows = starts.count - 1
        for row in 0..<max(rows, 0) {
            precondition(starts[row + 1] - starts[row] <= room, "a row of \(starts[row + 1] - starts[row]) values in memory for \(room)")
            if starts[row + 1] - starts[first] > room {
                pieces.append(first..<row)
                first = row
            }
        }
        if rows > first, starts[rows] > starts[first] { pieces.append(first..<rows) }
        return pieces
    }

    /// The rows of a piece that are one of `count` slices: together all of them, of about the same number of values.
    static func slice(_ slice: Int, of count: Int, _ piece: Range<Int>, _ starts: [Int]) -> Range<Int> {
        let (first, values) = (starts[piece.lowerBound], starts[piece.upperBound] - starts[piece.lowerBound])
        /// The first row that begins at a value or after it.
        func row(_ value: Int) -> Int {
            var (low, high) = (piece.lowerBound, piece.upperBound)
            while low < high {
                let middle = (low + high) / 2
                if starts[middle] < value { low = middle + 1 } else { high = middle }
            }
            return low
        }
        return row(first + slice * values / count)..<(slice == count - 1 ? piece.upperBound : row(first + (slice + 1) * values / count))
    }
}
