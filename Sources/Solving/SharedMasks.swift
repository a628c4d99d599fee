// Masks that compare weights across all rows of a linear: the ranks take their tiles through the columns in step.

internal import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Packing
internal import Reporting
internal import Sharding
internal import Transformers

/// The linears of a stage whose masks go through all rows, solved comparison by comparison by all ranks together.
///
/// The threshold of a comparison is found by counting (see `RankSelection`), so it is the one that a single rank with all rows would find. One
/// all-reduce serves all linears; ranks without tiles add zeros.
struct SharedMasks {
    let world: Communicator
    let clock: PhaseClock
    let stage: StagePlan
    /// Indices in the stage, the same on every rank.
    let linears: [Int]

    /// Solves this rank's tiles of the linears.
    ///
    /// - Parameters:
    ///   - tiles: indices in the stage.
    ///   - begin: a tile before its first comparison.
    ///   - encode: a tile after its last one, with the thresholds of its linear.
    /// - Returns: the encoded tiles by their index.
    func solve(
        _ tiles: [Int], begin: @Sendable (Int) throws -> any PruningTile, encode: @Sendable (Int, any PruningTile, [Float]) throws -> EncodedTile
    ) throws -> [Int: EncodedTile] {
        guard !linears.isEmpty else { return [:] }
        let begun = try together { try parallelMap(tiles.count) { try begin(tiles[$0]) } }
        var thresholds: [Int: [Float]] = [:]
        let comparisons = linears.map { stage.linears[$0].pruning?.comparisons(columns: stage.columns) ?? [] }
        for step in 0..<(comparisons.map(\.count).max() ?? 0) {
            let taking = linears.indices.filter { step < comparisons[$0].count }
            let members = taking.map { position in
                let linear = linears[position], columns = comparisons[position][step]
                return Member(linear: linear, columns: columns, tiles: tiles.indices.filter { stage.tiles[tiles[$0]].linear == linear }.map { begun[$0] })
            }
            for (member, threshold) in zip(members, try compare(members)) { thresholds[member.linear, default: []].append(threshold) }
        }
        let found = thresholds
        let owners = tiles.map { stage.tiles[$0].linear }
        let encoded = try together {
            try parallelMap(tiles.count) { try encode(tiles[$0], begun[$0], found[owners[$0]] ?? []) }
        }
        return Dictionary(uniqueKeysWithValues: zip(tiles, encoded))
    }

    /// A linear in one comparison.
    private struct Member: Sendable {
        let linear: Int
        let columns: Range<Int>
        /// Those of this rank.
        let tiles: [any PruningTile]
    }

    /// Finds the thresholds of one comparison of each member, and prunes with them.
    private func compare(_ members: [Member]) throws -> [Float] {
        let work = members.indices.flatMap { member in members[member].tiles.map { (member: member, tile: $0) } }
        let scores = clock.measure(.solve) {
            parallelMap(work.count) { work[$0].tile.scores(members[work[$0].member].columns) }
        }
        var selections = members.map { member in
            let linear = stage.linears[member.linear]
            let rank = linear.pruning?.thresholdRank(among: linear.linear.rows * member.columns.count) ?? 0
            return RankSelection(rank: rank)
        }
        let bins = RankSelection.binCount
        while selections.contains(where: { $0.result == nil }) {
            let digits = selections
            let parts = clock.measure(.solve) {
                parallelMap(work.count) { index in
                    var counts = [Int](repeating: 0, count: bins)
                    counts.withUnsafeMutableBufferPointer { digits[work[index].member].count(scores[index], into: $0.baseAddress!) }
                    return counts
                }
            }
            var counts = [Int](repeating: 0, count: members.count * bins)
            for (part, unit) in zip(parts, work) {
                for bin in 0..<bins { counts[unit.member * bins + bin] += part[bin] }
            }
            try clock.measure(.reduce) { () throws in try world.allReduceSum(&counts) }
            for member in members.indices { selections[member].narrow(counts[member * bins..<(member + 1) * bins]) }
        }
        let thresholds = selections.map { $0.result ?? .nan }
        clock.measure(.solve) {
            parallelFor(work.count) { work[$0].tile.prune(members[work[$0].member].columns, threshold: thresholds[work[$0].member]) }
        }
        return thresholds
    }

    private func together<Value>(_ work: () throws -> Value) throws -> Value {
        try world.together(exitCode: exitCode) { try clock.measure(.solve) { () throws in try work() } }
    }
}
