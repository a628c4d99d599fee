// The weights from which the tiles of `target: dense` begin.

internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

/// Shifts the weights of a stage's tiles, so that on the compressed model's inputs they give about what the dense model's give on its own, and make up for
/// what the residual stream has lost.
struct DenseTargets {
    let model: Model
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    let stage: StagePlan
    let mismatches: StageMismatches

    /// The weights of some of this rank's tiles, shifted by the maps of their linears: by their index. Those that no map shifts are left out. Collective.
    ///
    /// - Parameter tiles: none on a rank that has none left.
    func weights(of tiles: [Int]) throws -> [Int: Matrix<Float>] {
        guard !mismatches.isEmpty else { return [:] }
        let (model, stage) = (model, stage)
        let tiles = tiles.filter { tile in Mismatch.allCases.contains { map($0, of: tile) != nil } }
        let originals = try nodes.world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                try parallelMap(tiles.count) { try model.weightRows(stage.linears[stage.tiles[tiles[$0]].linear].linear, stage.tiles[tiles[$0]].rows) }
            }
        }
        let weights = zip(tiles, originals).map { tile, original in
            TileWeights(tile: tile, rows: stage.tiles[tile].rows, original: original, shifted: original.copy())
        }
        for mismatch in stage.mismatches {
            for settings in stage.settings(of: mismatch) {
                guard let map = mismatches[mismatch]?[settings] else { continue }
                try add(map, mismatch, to: weights.filter { self.settings(mismatch, of: $0.tile) == settings })
            }
        }
        return Dictionary(uniqueKeysWithValues: weights.map { ($0.tile, $0.shifted) })
    }

    /// What decides the factor of a tile's linear; nil where the mismatch does not shift it.
    private func settings(_ mismatch: Mismatch, of tile: Int) -> FactorSettings? {
        let linear = stage.tiles[tile].linear
        return stage.strength(mismatch, ofLinear: linear) == 0 ? nil : stage.linears[linear].treatment.map(FactorSettings.init)
    }

    private func map(_ mismatch: Mismatch, of tile: Int) -> StageMismatch? { settings(mismatch, of: tile).flatMap { mismatches[mismatch]?[$0] } }

    fileprivate struct TileWeights: Sendable {
        let tile: Int
        /// Of the linear.
        let rows: Range<Int>
        /// [rows.count, columns] each
        let original: Matrix<Float>
        let shifted: Matrix<Float>
    }

    /// Shifts tiles by a map, whose panels their owners send to all.
    private func add(_ map: StageMismatch, _ mismatch: Mismatch, to tiles: [TileWeights]) throws {
        let strengths = tiles.map { Float(stage.strength(mismatch, ofLinear: stage.tiles[$0.tile].linear)) }
        for (index, rows) in choleskyPanels(order: map.rows).enumerated() {
            let panel = map.own[index] ?? Matrix<Float>(uninitialized: rows.count, map.columns)
            try clock.measure(.reduce) { () throws in
                try nodes.broadcast(UnsafeMutableBufferPointer(start: panel.base, count: panel.count), from: assignment.panelOwner(index))
            }
            clock.measure(.solve) {
                parallelFor(tiles.count) { number in
                    let tile = tiles[number]
                    switch mismatch {
                    case .input: multiply(tile.original.columns(rows), panel, into: tile.shifted, alpha: strengths[number], beta: 1)
                    case .stream: tile.add(panel, of: rows, times: strengths[number])
                    }
                }
            }
        }
        for tile in tiles { clock.count(.solve, operations: mismatch.shiftOperations(rows: tile.rows.count, columns: map.columns)) }
    }
}

extension DenseTargets.TileWeights {
    /// Adds rows of a map to the rows of weights that have the same numbers.
    ///
    /// - Parameters:
    ///   - panel: [range.count, columns]
    ///   - range: the rows of the map that it holds.
    fileprivate func add(_ panel: Matrix<Float>, of range: Range<Int>, times strength: Float) {
        for row in rows.clamped(to: range) {
            let (source, target) = (panel.row(row - range.lowerBound), shifted.row(row - rows.lowerBound))
            for column in 0..<panel.columns { target[column] += strength * source[column] }
        }
    }
}
