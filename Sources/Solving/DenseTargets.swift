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

/// Shifts the weights of a stage's tiles, so that on the compressed model's inputs they give about what the dense model's give on its own.
struct DenseTargets {
    let model: Model
    let nodes: NodeGroups
    let assignment: Assignment
    let clock: PhaseClock
    let stage: StagePlan
    /// By what decides the factor of the stage's linears; the same keys on every rank.
    let mismatches: [FactorSettings: StageMismatch]

    /// W + strength W S of some of this rank's tiles, by their index; those of other targets are left out. Collective.
    ///
    /// - Parameter tiles: none on a rank that has none left.
    func weights(of tiles: [Int]) throws -> [Int: Matrix<Float>] {
        var shifted: [Int: Matrix<Float>] = [:]
        // In the order of the linears, which all ranks share.
        var done = Set<FactorSettings>()
        for treatment in stage.linears.compactMap(\.treatment) where treatment.target == .dense {
            let settings = FactorSettings(treatment)
            guard let mismatch = mismatches[settings], done.insert(settings).inserted else { continue }
            let own = tiles.filter { tile in
                stage.linears[stage.tiles[tile].linear].treatment.map { $0.target == .dense && FactorSettings($0) == settings } == true
            }
            shifted.merge(try weights(of: own, mismatch)) { $1 }
        }
        return shifted
    }

    private func weights(of tiles: [Int], _ mismatch: StageMismatch) throws -> [Int: Matrix<Float>] {
        let (model, stage) = (model, stage)
        let originals = try nodes.world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                try parallelMap(tiles.count) { try model.weightRows(stage.linears[stage.tiles[tiles[$0]].linear].linear, stage.tiles[tiles[$0]].rows) }
            }
        }
        let shifted = originals.map { $0.copy() }
        let strengths = tiles.map { Float(stage.linears[stage.tiles[$0].linear].treatment?.targetStrength ?? 0) }
        for (index, rows) in choleskyPanels(order: mismatch.columns).enumerated() {
            let panel = mismatch.own[index] ?? Matrix<Float>(uninitialized: rows.count, mismatch.columns)
            try clock.measure(.reduce) { () throws in
                try nodes.broadcast(UnsafeMutableBufferPointer(start: panel.base, count: panel.count), from: assignment.panelOwner(index))
            }
            clock.measure(.solve) {
                parallelFor(tiles.count) { multiply(originals[$0].columns(rows), panel, into: shifted[$0], alpha: strengths[$0], beta: 1) }
            }
        }
        return Dictionary(uniqueKeysWithValues: zip(tiles, shifted))
    }
}
