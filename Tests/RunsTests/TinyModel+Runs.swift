// Runs on a tiny model.

import Checkpoints
import Reporting
import Runs
import TestWorld
import TinyModels

extension TinyModel {
    /// A job on this model, with keys that override the recipe's.
    func job(_ more: [String] = []) throws -> Job {
        try write(
            """
            model: \(model)
            output: \(output)
            calibration: {source: \(path)/ids.npy, sequences: 8, length: 32}
            compute: f32
            compress: {bits: 4, group: 32}
            """, "recipe.yaml")
        let source = try RecipeSource(file: path + "/recipe.yaml", overrides: more, model: nil, output: nil)
        return try Job(source, world: TestWorld.world, clock: PhaseClock())
    }

    /// What a run of compression said and did.
    struct Run {
        var tiles: TileCounts
        var linears: [LinearReport]
        /// Of the output directory.
        var remarks: [String]
        /// What was said of earlier attempts.
        var resumption: String?
    }

    /// Compresses, without merging.
    @discardableResult
    func compress(_ more: [String] = [], maxHours: Double? = nil, scratch: String? = nil) throws -> Run {
        let job = try job(more)
        let remarks = try job.enter().remarks
        let stop = StopConditions(world: TestWorld.world, start: .now, maxHours: maxHours, file: job.work.stopFile)
        var resumption: String?
        let result = try job.compress(stop: stop, scratch: scratch) { resumption = $0 }
        return Run(tiles: result.tiles, linears: result.linears, remarks: remarks, resumption: resumption)
    }

    /// Merges what is committed.
    @discardableResult
    func merge(_ more: [String] = []) throws -> SizeReport {
        let job = try job(more)
        _ = try job.enter()
        return try job.merge()
    }

    /// Compresses and merges.
    @discardableResult
    func finish(_ more: [String] = []) throws -> SizeReport {
        try compress(more)
        return try merge(more)
    }
}
