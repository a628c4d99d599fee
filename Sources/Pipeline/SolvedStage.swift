// The encoded tiles of a stage, as they are gathered by all ranks.

internal import LinearAlgebra
internal import MessagePassing
internal import Packing
internal import Sharding

/// The tiles of a stage after solving.
struct SolvedStage {
    /// All tiles of the stage, in the plan's order; empty when only this rank's own are kept.
    private(set) var tiles: [EncodedTile]
    /// Those that this rank has solved now, by their index.
    private(set) var solvedHere: [Int: EncodedTile]
    /// What was measured on each tile of the stage.
    let measures: [TileMeasure]

    /// - Parameter solvedHere: indices of tiles.
    init(tiles: [EncodedTile], solvedHere: [Int]) {
        self.tiles = tiles
        self.solvedHere = Dictionary(uniqueKeysWithValues: solvedHere.map { ($0, tiles[$0]) })
        measures = tiles.map { TileMeasure(loss: $0.loss, sampled: $0.sampled, zeroCount: $0.zeroCount) }
    }

    /// Lets go of what other ranks have solved.
    mutating func keepOwn() {
        // Copies: the tiles share one piece of memory.
        solvedHere = solvedHere.mapValues { EncodedTile(layout: $0.layout, bytes: $0.bytes.copy()) }
        tiles = []
    }
}

/// What a tile says of itself; see `EncodedTile`.
struct TileMeasure {
    var loss: Double
    var sampled: (loss: Double, energy: Double)
    var zeroCount: Int?
}

/// One message for all tiles of a stage, each in its place; tiles may be put there at the same time.
struct StageTiles: Sendable {
    private let layouts: [TileLayout]
    /// The first byte of each tile, and the end.
    private let starts: [Int]
    private let bytes: Matrix<UInt8>

    init(_ stage: StagePlan) {
        layouts = stage.tiles.indices.map(stage.layout)
        starts = layouts.reduce(into: [0]) { $0.append($0.last! + $1.byteCount) }
        bytes = Matrix(uninitialized: 1, starts.last!)
    }

    func put(_ index: Int, _ tile: EncodedTile) {
        bytes.columns(starts[index]..<starts[index + 1]).assign(tile.bytes)
    }

    /// Fills in the tiles of the other ranks.
    func gather(_ owners: [Int], _ world: Communicator) throws {
        // Tiles lie in the order of their owners, so each rank's part is one run of bytes.
        var counts = [Int](repeating: 0, count: world.size)
        for (tile, owner) in owners.enumerated() { counts[owner] += layouts[tile].byteCount }
        try world.allGather(UnsafeMutableBufferPointer(start: bytes.base, count: bytes.count), counts: counts)
    }

    func tiles() -> [EncodedTile] {
        layouts.indices.map { EncodedTile(layout: layouts[$0], bytes: bytes.columns(starts[$0]..<starts[$0 + 1])) }
    }
}
