// A partial checkpoint: every tile of a plan read back from it, and unpacked to weights as replaying and merging do.

import Failures
import Foundation
import LinearAlgebra
import Packing
import Safetensors
import Sharding

@testable import Checkpoints

extension FuzzTarget {
    static let partialCheckpoint = FuzzTarget(name: "partial-checkpoint") { bytes in
        let work = work
        // Open partial checkpoints are kept by their path, so each input has a name of its own.
        let file = "input-\(UUID().uuidString).safetensors"
        let path = Scratch.write(bytes, to: "cleave/partial/\(file)")
        defer { unlink(path) }
        let plan = TinyPlan.plan
        let entry = JournalEntry(
            planHash: "", sourceDigest: "", block: 1, file: file, bytes: bytes.count, checksum: "",
            tiles: plan.blocks[1].stages.enumerated().map { TileRun(stage: $0, first: 0, count: $1.tiles.count) }, stages: [:])
        let tiles = CommittedTiles([entry], plan, work)
        for (stageIndex, stage) in plan.blocks[1].stages.enumerated() {
            for index in stage.tiles.indices {
                do {
                    let tile = try tiles.read(TileKey(block: 1, stage: stageIndex, tile: index))
                    let weights = Matrix<Float>(uninitialized: tile.layout.rows, tile.layout.columns)
                    tile.dequantize(into: weights)
                    _ = (tile.scales(), tile.zeros(), tile.loss, tile.sampled)
                } catch is PipelineError {
                } catch is SafetensorsError {
                } catch {
                    fatalError("not the room's own error: \(error)")
                }
            }
        }
    }

    private static let work: WorkDirectory = {
        let work = WorkDirectory(output: Scratch.folder)
        _ = Scratch.makeFolder("cleave/partial")
        return work
    }()
}
