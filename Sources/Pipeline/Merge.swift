// From committed tiles and untouched tensors to the final checkpoint, its files spread over the ranks.

internal import Foundation
internal import MessagePassing
internal import Recipes
internal import Reporting
internal import Safetensors
internal import Sharding
internal import Transformers

/// Writes the result of a run.
struct Merge {
    private let plan: Plan
    private let planHash: String
    private let model: Model
    private let tokens: TokenSequences?
    private let sourceFiles: SourceFiles?
    private let tiles: CommittedTiles
    private let work: WorkDirectory
    private let world: Communicator

    /// - Parameter tiles: every tile of the job's plan.
    init(_ job: Job, tiles: CommittedTiles) {
        plan = job.plan
        planHash = job.planHash
        model = job.model
        tokens = job.tokens
        sourceFiles = job.sourceFiles
        self.tiles = tiles
        work = job.work
        world = job.world
    }

    /// - Returns: the sizes of source and result.
    func run() throws -> SizeReport {
        let output = try OutputPlan(plan, source: model.checkpoint.index)
        try world.onCoordinator(exitCode: exitCode) { try removeCompletion(output.content) }
        let shards = try output.content.write(to: work.output, from: model.checkpoint, world: world) { try tiles.read(output.tiles[$0][$1]) }
        _ = try CheckpointCompletion(content: output.content, source: model, output: work, world: world).run(shards: shards, manifest: manifest)
        return SizeReport(
            sourceBytes: model.checkpoint.index.totalByteCount, outputBytes: output.content.byteCount,
            bitsPerWeight: output.bitsPerWeight, sourceBitsPerWeight: output.sourceBitsPerWeight)
    }

    /// Takes away what makes a directory look finished, config.json first, and then shards of an earlier cut, before the first new file is written.
    private func removeCompletion(_ content: CheckpointContent) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: work.output)) ?? []
        let stale = names.filter { $0.hasSuffix(".safetensors") && !content.files.map(\.name).contains($0) }
        for name in ["config.json", "cleave_manifest.json", ShardIndex.fileName] + stale where names.contains(name) {
            do {
                try FileManager.default.removeItem(atPath: work.output + "/" + name)
            } catch {
                throw PipelineError(.cannotWrite, "cannot remove \(work.output)/\(name): \(error.localizedDescription)")
            }
        }
    }

    /// How the checkpoint is made.
    private var manifest: Manifest {
        let linears = plan.compressedLinears.compactMap { linear in linear.treatment.map { (linear.linear.name, $0) } }
        let calibration = plan.recipe.calibration.flatMap { calibration in
            tokens.map {
                Manifest.Calibration(
                    idsHash: $0.hash, sequences: calibration.sequences, length: calibration.length, seed: calibration.seed)
            }
        }
        return Manifest(
            cleave: cleaveVersion, planHash: planHash, propagation: plan.recipe.propagation.rawValue, compute: plan.recipe.compute.rawValue,
            format: plan.recipe.format.rawValue, calibration: calibration, source: sourceFiles?.entries ?? [:],
            linears: Dictionary(uniqueKeysWithValues: linears), tensors: [:], files: [])
    }
}
