// From committed tiles and untouched tensors to the final checkpoint, its files spread over the ranks.

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
    private let cache: CacheRecord
    private let work: WorkDirectory
    private let world: Communicator

    /// - Parameters:
    ///   - tiles: every tile of the job's plan.
    ///   - cache: the largest keys and values of every attention of which the result has scales.
    init(_ job: Job, tiles: CommittedTiles, cache: CacheRecord) {
        plan = job.plan
        planHash = job.planHash
        model = job.model
        tokens = job.tokens
        sourceFiles = job.sourceFiles
        self.tiles = tiles
        self.cache = cache
        work = job.work
        world = job.world
    }

    /// - Returns: the sizes of source and result.
    func run() throws -> SizeReport {
        let codewords = try plan.recipe.format == .qmoe ? tiles.codewords(world: world) : nil
        let output = try world.agreed { () throws in try OutputPlan(plan, source: model.tensors, codewords: codewords, cache: cache) }
        let completion = CheckpointCompletion(content: output.content, source: model, output: work, world: world)
        try world.onCoordinator(exitCode: exitCode) { try work.beginResult(completion.fileNames()) }
        let shards = try output.content.write(to: work.output, from: model.parameters, world: world) { try tiles.read(output.tile($0, $1)) }
        _ = try completion.run(shards: shards, manifest: manifest) { try sourceFiles?.checkUnchanged(in: model.path) }
        return SizeReport(
            sourceBytes: model.checkpoint.index.totalByteCount, outputBytes: output.content.byteCount,
            bitsPerWeight: output.bitsPerWeight, sourceBitsPerWeight: output.sourceBitsPerWeight)
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
            format: plan.recipe.format.rawValue, calibration: calibration, rotation: model.rotated.map(Manifest.Rotation.init),
            source: sourceFiles?.entries ?? [:],
            linears: Dictionary(uniqueKeysWithValues: linears), tensors: [:], files: [])
    }
}
