// The largest magnitude of whole weights, for types of numbers that have one scale for a tensor, or one number that divides its scales.

internal import Checkpoints
internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Reporting
internal import Sharding

extension StageSolver {
    /// Of each linear of a stage, the largest magnitude of its weights and of those with which clients fuse it; 0 of linears that need none. Collective where
    /// any does. Each rank reads the rows of its own tiles, committed ones too, so that every attempt finds the same.
    ///
    /// - Parameter owners: of the stage's tiles.
    func tensorMagnitudes(_ stage: StagePlan, owners: [Int]) throws -> [Float] {
        let isNeeded = stage.linears.map { $0.options?.needsTensorMagnitude == true }
        var largest = [Float](repeating: 0, count: stage.linears.count)
        guard isNeeded.contains(true) else { return largest }
        let own = stage.tiles.indices.filter { owners[$0] == world.rank && isNeeded[stage.tiles[$0].linear] }
        let model = model
        let found = try world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                try parallelMap(own.count) { place in
                    let tile = stage.tiles[own[place]]
                    return maxMagnitude(try model.weightRows(stage.linears[tile.linear].linear, tile.rows))
                }
            }
        }
        for (tile, magnitude) in zip(own, found) { largest[stage.tiles[tile].linear] = max(largest[stage.tiles[tile].linear], magnitude) }
        try world.allReduceMax(&largest)
        for parts in stage.fusedParts {
            let joint = parts.reduce(Float(0)) { max($0, largest[$1]) }
            for linear in parts where isNeeded[linear] { largest[linear] = joint }
        }
        return largest
    }
}
