// The tiles of a stage: each solved by its owner, or read when it is committed, then gathered by all ranks.

internal import Compression
internal import LinearAlgebra
internal import MessagePassing
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// The tiles of a stage after solving.
struct SolvedStage {
    /// All tiles of the stage, in the plan's order.
    var tiles: [EncodedTile]
    /// Indices of those that this rank has solved now.
    var solvedHere: [Int]
}

struct StageSolver {
    let model: Model
    let world: Communicator
    let assignment: Assignment
    let clock: PhaseClock

    /// Solves the tiles that are not committed and gives all tiles to all ranks.
    ///
    /// - Parameters:
    ///   - factors: by settings, for the treatments that need them.
    ///   - committed: tiles of earlier attempts.
    func solve(
        _ stage: StagePlan, block: Int, index: Int, factors: [FactorSettings: FactorOutcome], committed: CommittedTiles
    ) throws -> SolvedStage {
        let owners = assignment.owners(of: stage.tiles)
        let layouts = stage.tiles.indices.map(stage.layout)
        let starts = layouts.reduce(into: [0]) { $0.append($0.last! + $1.byteCount) }
        let message = Matrix<UInt8>(uninitialized: 1, starts.last!)
        let own = owners.indices.filter { owners[$0] == world.rank }
        let missing = own.filter { !committed.contains(TileKey(block: block, stage: index, tile: $0)) }

        let linears = stage.linears.indices.map { linear in
            LinearState(stage, linear) { committed.contains(TileKey(block: block, stage: index, tile: $0)) }
        }
        let tileSolver = TileSolver(model: model, stage: stage, factors: factors)
        // Where thresholds are still to be found, all ranks find them together.
        let comparing = missing.filter { linears[stage.tiles[$0].linear].needsThresholds }
        var encoded = try SharedMasks(world: world, clock: clock, stage: stage, linears: linears.indices.filter { linears[$0].needsThresholds })
            .solve(comparing, begin: tileSolver.begin) { try tileSolver.encode($0, $1, thresholds: $2) }
        let alone = own.filter { encoded[$0] == nil }
        let tiles = try world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                try parallelMap(alone.count) { position in
                    let key = TileKey(block: block, stage: index, tile: alone[position])
                    guard !committed.contains(key) else { return try committed.read(key) }
                    let witness = linears[stage.tiles[key.tile].linear].committedTile
                    let thresholds = try witness.map { try committed.read(TileKey(block: block, stage: index, tile: $0)).thresholds }
                    return try tileSolver.solve(key.tile, thresholds: thresholds)
                }
            }
        }
        for (tile, solved) in zip(alone, tiles) { encoded[tile] = solved }
        for tile in missing where [.gptq, .sparsegpt].contains(stage.linears[stage.tiles[tile].linear].treatment?.method) {
            clock.count(.solve, operations: Double(stage.tiles[tile].rows.count) * Double(stage.columns) * Double(stage.columns))
        }
        for (tile, solved) in encoded { message.columns(starts[tile]..<starts[tile + 1]).assign(solved.bytes) }
        try clock.measure(.gather) { () throws in
            // Tiles lie in the order of their owners, so each rank's part is one run of bytes.
            var counts = [Int](repeating: 0, count: world.size)
            for (tile, owner) in owners.enumerated() { counts[owner] += layouts[tile].byteCount }
            try world.allGather(UnsafeMutableBufferPointer(start: message.base, count: message.count), counts: counts)
        }
        let all = layouts.indices.map { EncodedTile(layout: layouts[$0], bytes: message.columns(starts[$0]..<starts[$0 + 1])) }
        return SolvedStage(tiles: all, solvedHere: missing)
    }
}

/// What is known of a linear's tiles before a stage is solved, the same on every rank.
private struct LinearState {
    /// Any committed tile: it holds the thresholds with which the others were, or will be, solved.
    let committedTile: Int?
    /// Whether masks that go through all rows are still to be found.
    let needsThresholds: Bool

    init(_ stage: StagePlan, _ linear: Int, isCommitted: (Int) -> Bool) {
        let comparisons = stage.linears[linear].pruning?.comparisons(columns: stage.columns) ?? []
        committedTile = comparisons.isEmpty ? nil : stage.tiles.indices.first { stage.tiles[$0].linear == linear && isCommitted($0) }
        needsThresholds = !comparisons.isEmpty && committedTile == nil
    }
}

