// From committed tiles and untouched tensors to the final checkpoint, its files spread over the ranks.

internal import Failures
package import MessagePassing
package import Models
internal import Recipes
package import Reporting
internal import Safetensors
package import Sharding
internal import Transformers

/// Writes the result of a run.
package struct Merge {
    private let plan: Plan
    private let planHash: String
    private let model: Model
    private let idsHash: String?
    private let sourceFiles: SourceFiles?
    private let tiles: CommittedTiles
    private let cache: CacheRecord
    private let work: WorkDirectory
    private let world: Communicator

    /// - Parameters:
    ///   - planHash: the hash of the run's `PlanIdentity`.
    ///   - idsHash: of the calibration's token ids; nil without calibration.
    ///   - sourceFiles: those of the source as they were when the run began.
    ///   - tiles: every tile of the plan.
    ///   - cache: the largest keys and values of every attention of which the result has scales.
    package init(
        _ plan: Plan, planHash: String, model: Model, idsHash: String?, sourceFiles: SourceFiles?, tiles: CommittedTiles, cache: CacheRecord,
        work: WorkDirectory, world: Communicator
    ) {
        (self.plan, self.planHash, self.model, self.idsHash) = (plan, planHash, model, idsHash)
        (self.sourceFiles, self.tiles, self.cache, self.work, self.world) = (sourceFiles, tiles, cache, work, world)
    }

    /// - Returns: the sizes of source and result.
    package func run() throws -> SizeReport {
        let entries = try plan.recipe.format.hasEntries ? tiles.entries(world: world) : nil
        let output = try world.agreed { () throws in try OutputPlan(plan, source: model.tensors, entries: entries, cache: cache) }
        let completion = CheckpointCompletion(content: output.content, source: model, output: work, world: world)
        try world.onCoordinator(exitCode: exitCode) { try work.beginResult(completion.fileNames()) }
        let shards = try output.content.write(to: work.output, from: model.parameters, world: world) { try tiles.read(output.tile($0, $1)) }
        _ = try completion.run(shards: shards, manifest: manifest) { try sourceFiles?.checkUnchanged(in: model.path) }
        return SizeReport(
            sourceBytes: model.checkpoint.index.totalByteCount, outputBytes: output.content.byteCount,
            bitsPerWeight: output.bitsPerWeight, sourceBitsPerWeight: output.sourceBitsPerWeight,
            bitsPerOriginalExpertWeight: output.bitsPerOriginalExpertWeight(plan, Manifest.Experts.takenOut(of: model.path)))
    }

    /// How the checkpoint is made.
    private var manifest: Manifest {
        let linears = plan.compressedLinears.compactMap { linear in linear.treatment.map { (linear.linear.name, $0) } }
        let calibration = plan.recipe.calibration.flatMap { calibration in
            idsHash.map {
                Manifest.Calibration(idsHash: $0, sequences: calibration.sequences, length: calibration.length, seed: calibration.seed)
            }
        }
        var manifest = Manifest(
            cleave: cleaveVersion, planHash: planHash, propagation: plan.recipe.propagation.rawValue, compute: plan.recipe.compute.rawValue,
            format: plan.recipe.format.rawValue, calibration: calibration,
            source: sourceFiles?.entries ?? [:],
            linears: Dictionary(uniqueKeysWithValues: linears), tensors: [:], files: [])
        if let equivalent = model.equivalent { manifest.note(equivalent) }
        return manifest
    }
}
