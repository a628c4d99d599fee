// The encoded tiles of a stage: each rank's own, and of the others' those that it needs.

internal import Checkpoints
package import LinearAlgebra
internal import MessagePassing
package import Packing
internal import Sharding

/// The tiles of a stage after solving.
package struct SolvedStage {
    /// Those with which this rank runs the stage forward, by their index; empty when only its own are kept.
    package let tiles: [Int: EncodedTile]
    /// The bytes of those that this rank has solved now: no more of them waits for a commit, of which experts have thousands.
    package let solvedHere: [Int: Matrix<UInt8>]
    /// What was measured on each tile of the stage.
    package let measures: [TileMeasure]

    init(tiles: [Int: EncodedTile], solvedHere: [Int: Matrix<UInt8>], measures: [TileMeasure]) {
        (self.tiles, self.solvedHere, self.measures) = (tiles, solvedHere, measures)
    }

    /// Of which this rank has no tiles.
    package init(measures: [TileMeasure]) {
        self.init(tiles: [:], solvedHere: [:], measures: measures)
    }

    /// Without the tiles that run forward: what is to be committed, and what was measured.
    package var withoutTiles: SolvedStage { SolvedStage(tiles: [:], solvedHere: solvedHere, measures: measures) }
}

/// What a tile says of itself; see `EncodedTile`.
package struct TileMeasure {
    package var loss: Double
    package var sampled: (loss: Double, energy: Double)
    package var zeroCount: Int?
    package var clampedScales: Int?
    package var entries: Int?

    package init(_ tile: EncodedTile) {
        self.init(
            loss: tile.loss, sampled: tile.sampled, zeroCount: tile.zeroCount, clampedScales: tile.clampedScales,
            entries: tile.entryCounts.map { $0.reduce(0) { $0 + Int($1) } })
    }

    package init(loss: Double, sampled: (loss: Double, energy: Double), zeroCount: Int?, clampedScales: Int?, entries: Int?) {
        (self.loss, self.sampled, self.zeroCount, self.clampedScales, self.entries) = (loss, sampled, zeroCount, clampedScales, entries)
    }
}

/// The tiles of a rank on their way to the others; they may be put in their places at the same time.
struct StageTiles: Sendable {
    private let layouts: [TileLayout]
    private let owners: [Int]
    private let rank: Int
    /// The first byte of each tile in its owner's part.
    private let starts: [Int]
    /// Bytes of each rank's part.
    private let counts: [Int]
    /// This rank's part.
    private let bytes: Matrix<UInt8>

    /// - Parameter owners: the rank that solves each tile.
    init(_ stage: StagePlan, owners: [Int], world: Communicator) {
        layouts = stage.tiles.indices.map(stage.layout)
        var counts = [Int](repeating: 0, count: world.size)
        starts = zip(owners, layouts).map { owner, layout in
            counts[owner] += layout.byteCount
            return counts[owner] - layout.byteCount
        }
        (self.owners, rank, self.counts) = (owners, world.rank, counts)
        // They wait for their commit while others are solved.
        bytes = Matrix(uninitializedPages: 1, counts[world.rank])
    }

    /// - Parameter index: of a tile of this rank.
    func put(_ index: Int, _ tile: EncodedTile) {
        precondition(owners[index] == rank, "tile \(index) of rank \(owners[index]) on rank \(rank)")
        bytes.columns(starts[index]..<starts[index] + layouts[index].byteCount).assign(tile.bytes)
    }

    /// Sends every rank's tiles to all.
    ///
    /// - Parameters:
    ///   - solvedHere: indices of this rank's tiles that were not committed before.
    ///   - needed: indices of the tiles that are kept; of the others only what was measured on them.
    func gather(_ nodes: NodeGroups, solvedHere: [Int], needed: Set<Int>) throws -> SolvedStage {
        var kept: [Int: EncodedTile] = [:]
        var own: [Int: Matrix<UInt8>] = [:]
        let solvedHere = Set(solvedHere)
        var measures: [TileMeasure?] = Array(repeating: nil, count: layouts.count)
        for owner in counts.indices where counts[owner] > 0 {
            let part = owner == rank ? bytes : Matrix<UInt8>(uninitialized: 1, counts[owner])
            try nodes.broadcast(UnsafeMutableBufferPointer(start: part.base, count: part.count), from: owner)
            let tiles = layouts.indices.filter { owners[$0] == owner }
            // A part that is kept whole needs no copies.
            let isWhole = owner == rank || needed.isSuperset(of: tiles)
            for index in tiles {
                let tile = EncodedTile(layout: layouts[index], bytes: part.columns(starts[index]..<starts[index] + layouts[index].byteCount))
                measures[index] = TileMeasure(tile)
                if needed.contains(index) { kept[index] = isWhole ? tile : EncodedTile(layout: tile.layout, bytes: tile.bytes.copy()) }
                if solvedHere.contains(index) { own[index] = tile.bytes }
            }
        }
        return SolvedStage(tiles: kept, solvedHere: own, measures: measures.compactMap { $0 })
    }
}
