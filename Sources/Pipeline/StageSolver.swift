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

        let tileSolver = TileSolver(model: model, stage: stage, factors: factors)
        let encoded = try world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                try parallelMap(own.count) { position in
                    let key = TileKey(block: block, stage: index, tile: own[position])
                    return try committed.contains(key) ? committed.read(key) : tileSolver.solve(key.tile)
                }
            }
        }
        for tile in missing where stage.linears[stage.tiles[tile].linear].treatment?.method.needsHessian == true {
            clock.count(.solve, operations: Double(stage.tiles[tile].rows.count) * Double(stage.columns) * Double(stage.columns))
        }
        for (position, tile) in own.enumerated() {
            message.columns(starts[tile]..<starts[tile + 1]).assign(encoded[position].bytes)
        }
        try clock.measure(.gather) { () throws in
            // Tiles lie in the order of their owners, so each rank's part is one run of bytes.
            var counts = [Int](repeating: 0, count: world.size)
            for (tile, owner) in owners.enumerated() { counts[owner] += layouts[tile].byteCount }
            try world.allGather(UnsafeMutableBufferPointer(start: message.base, count: message.count), counts: counts)
        }
        let tiles = layouts.indices.map { EncodedTile(layout: layouts[$0], bytes: message.columns(starts[$0]..<starts[$0 + 1])) }
        return SolvedStage(tiles: tiles, solvedHere: missing)
    }

}

/// Solves single tiles of a stage; its tiles may be solved at the same time.
private struct TileSolver: Sendable {
    let model: Model
    let stage: StagePlan
    let factors: [FactorSettings: FactorOutcome]

    func solve(_ index: Int) throws -> EncodedTile {
        let tile = stage.tiles[index]
        let linear = stage.linears[tile.linear]
        guard let treatment = linear.treatment, let options = linear.options else {
            throw PipelineError(.internalError, "a tile of \(linear.linear.name), which is not to be compressed")
        }
        let weights = try model.weightRows(linear.linear, tile.rows)
        let outcome = factors[FactorSettings(treatment)]
        do {
            switch (treatment.method, outcome) {
            case (.gptq, .factor(let factor)?):
                return EncodedTile(try gptq(weights: weights, factor: factor, options: options, measuringEnergy: stage.isSampled(index)), options: options)
            case (.rtn, .factor(let factor)?):
                return EncodedTile(try roundToNearest(weights: weights, options: options, factor: factor), options: options)
            case (.gptq, .singular?), (.rtn, .singular?), (.rtn, nil):
                return EncodedTile(try roundToNearest(weights: weights, options: options.withoutHessian), options: options)
            case (.gptq, nil):
                throw PipelineError(.internalError, "no Hessian for \(linear.linear.name)")
            }
        } catch let error as CompressionError {
            throw PipelineError(.badInput, "\(linear.linear.name), rows \(tile.rows): \(error)")
        }
    }
}

extension QuantizationOptions {
    /// The same codes' shape with what can be found without a Hessian.
    var withoutHessian: QuantizationOptions {
        var options = self
        if grid == .hessian || grid == .solved { options.grid = .mse }
        return options
    }
}
