// Taking experts out of a mixture: those that add the least to what passes them.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import Foundation
public import MessagePassing
internal import Models
public import Recipes
public import Reporting
internal import Safetensors
internal import Sharding
internal import Texts
public import Transformers

/// What was taken out of a model.
public struct ExpertPruningReport: Codable, Sendable {
    /// The experts of a block.
    public struct BlockScores: Codable, Sendable {
        public var block: Int
        /// Of each expert of the source: REAP's score, and the tokens over which it is a mean.
        public var scores: [Double]
        public var tokens: [Int]
        /// Ascending.
        public var kept: [Int]
    }

    public var experts: Int
    public var keptExperts: Int
    public var blocks: [BlockScores]
    public var files: Int
    public var bytes: Int
}

/// Writes a mixture with fewer experts, whose other tensors are the source's byte for byte: an ordinary, smaller model of its family.
///
/// Experts are scored by their outputs on a text, in the model as it is (Lasby et al. 2025, REAP). A rank holds the activations of its sequences, the weights of a stage, and
/// one expert at a time. The files are the same for any number of ranks.
public struct ExpertPruning {
    private let model: Model
    private let tokens: TokenSequences
    private let share: Double
    private let compute: Compute
    private let work: WorkDirectory
    private let world: Communicator

    /// - Parameters:
    ///   - share: of the experts, that are kept.
    ///   - text: by which they are scored.
    /// - Throws: an `AgreedFailure` with exit code 65 for a model without experts, or one from which none can be taken.
    public init(
        _ directory: String, keeping share: Double, by text: Calibration, compute: Compute, output: String, reading: WeightReading, world: Communicator
    ) throws {
        try world.onCoordinator(exitCode: exitCode) { try OutputPlace.check(output, model: directory) }
        let model = try Model(path: directory, reading: reading, keepsPredictors: false, world: world)
        (self.model, self.share, self.compute, self.world) = (model, share, compute, world)
        work = WorkDirectory(output: output)
        tokens = try world.fromCoordinator(exitCode: exitCode) {
            guard model.architecture.hasExperts else { throw PipelineError(.badInput, "\(directory) has no experts (\(model.architecture.family))") }
            guard model.tensors.packed == nil else {
                throw PipelineError(
                    .badInput, "\(directory) is compressed (\(model.tensors.format)); take experts out of the model that it was made from, then compress")
            }
            // What cannot be done is said before the text is looked at.
            for mixture in model.architecture.blocks.compactMap(\.mixture) {
                _ = try ExpertPruningPlan.configuration(model, keeping: ExpertSelection.count(share, of: mixture.router), of: mixture.experts)
            }
            return try TokenSequences.load(text, tokenizer: directory + "/tokenizer.json", vocabularySize: model.architecture.vocabularySize)
        }
    }

    /// What the user should know of the source: sentences, on the coordinator.
    public var remarks: [String] {
        let predictors = model.tensors.names.filter { model.architecture.names.predictor($0) != nil }
        guard let first = predictors.min() else { return model.remarks }
        return model.remarks + [
            "blocks that predict further tokens are left out of the result, since config.json has one number of experts for all blocks (\(predictors.count) tensors, "
                + "the first being \(first)): serve it without speculation by them"
        ]
    }

    /// - Parameter finished: is told of each block whose experts are scored, and of how many blocks.
    /// - Throws: an `AgreedFailure` with exit code 73 when the output directory holds something else.
    public func run(clock: PhaseClock, finished: (Int, Int) -> Void) throws -> ExpertPruningReport {
        try model.checkNumbers(world: world)
        let found = try scores(clock, finished)
        try model.checkUnchanged(world)
        let selection = try world.agreed { () throws in
            try ExpertSelection(model.architecture, share: share, scores: found.mapValues { $0.map(\.score) })
        }
        let plan = try world.agreed { () throws in try ExpertPruningPlan(model, selection) }
        let completion = CheckpointCompletion(content: plan.content, source: model, output: work, world: world, changedConfiguration: plan.configuration)
        let names = try world.fromCoordinator(exitCode: exitCode) { try completion.fileNames() }
        defer { if world.isCoordinator { work.leaveResult(names) } }
        let files = try write(plan, selection, completion, names)
        let blocks = found.sorted { $0.key < $1.key }.map { block, experts in
            ExpertPruningReport.BlockScores(block: block, scores: experts.map(\.score), tokens: experts.map(\.tokens), kept: selection.kept[block] ?? [])
        }
        return ExpertPruningReport(
            experts: selection.experts, keptExperts: selection.keptCount, blocks: blocks, files: files.count, bytes: files.reduce(0) { $0 + $1.bytes })
    }

    /// Of each block with experts. Collective.
    private func scores(_ clock: PhaseClock, _ finished: (Int, Int) -> Void) throws -> [Int: [(score: Double, tokens: Int)]] {
        let windows = tokens.sequences, own = Assignment(ranks: world.size).batches(of: world.rank, count: windows.count)
        let forward = Forward(architecture: model.architecture, compute: compute.effective, source: model.parameters)
        let loader = StageWeights(model: model, forward: forward, world: world, clock: clock, phase: nil)
        let pass = try DensePass(windows, own, forward, loader, clock: clock)
        var scores: ExpertScores?
        var found: [Int: [(score: Double, tokens: Int)]] = [:]
        try pass.run { block in
            scores = model.architecture.blocks[block].mixture.map { ExpertScores(batches: windows.count, experts: $0.experts) }
            return scores
        } finished: { block in
            if let scores { found[block] = try scores.means(world) }
            finished(block, model.architecture.blockCount)
        }
        return found
    }

    private func write(_ plan: ExpertPruningPlan, _ selection: ExpertSelection, _ completion: CheckpointCompletion, _ names: [String]) throws -> [Manifest.File]
    {
        var lock: RunLock?
        try world.onCoordinator(exitCode: exitCode) { lock = try work.enterForResult(names) }
        let source = try SourceFiles(model, known: nil, world: world)
        var manifest = Manifest(cleave: cleaveVersion, format: "as the source", source: source.entries)
        manifest.experts = Manifest.Experts(
            of: selection.experts, kept: selection.kept, after: Manifest.Experts.takenOut(of: model.path))
        let shards = try plan.content.write(to: work.output, from: model.parameters, world: world) { _, _ in
            throw PipelineError(.internalError, "a tile of a checkpoint that is copied")
        }
        let files = try completion.run(shards: shards, manifest: manifest) { try model.checkpoint.checkUnchanged() }
        withExtendedLifetime(lock) {}
        return files
    }
}
