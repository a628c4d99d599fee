// From a recipe to everything a run needs: model, tokens, plan and its hash.

internal import Compression
internal import Foundation
internal import LinearAlgebra
public import MessagePassing
public import Recipes
public import Reporting
internal import Safetensors
public import Sharding
internal import Transformers

/// A recipe made ready to run on the ranks of a world.
public final class Job {
    public let recipe: Recipe
    public let model: Model
    public let plan: Plan
    public let planHash: String
    public let tokens: TokenSequences?
    public let work: WorkDirectory
    /// What the user should know before the work begins: sentences, on the coordinator.
    public let remarks: [String]
    let source: RecipeSource
    let world: Communicator
    public let clock: PhaseClock
    /// How the recipe's budget of bits was spent; nil without one, and until losses are measured.
    public let budget: BudgetOutcome?
    /// Of the source on which the losses were measured.
    let sourceOfLosses: String?
    /// The plan in parts; `planHash` is their checksum.
    let identity: PlanIdentity
    /// Held from entering the output directory until this object goes.
    var lock: RunLock?
    /// The source's files; known after entering.
    var sourceFiles: SourceFiles?

    /// - Parameters:
    ///   - output: replaces the recipe's output directory (a run that was moved).
    ///   - reading: replaces the recipe's `weights`.
    ///   - measuresLosses: whether this is the run that measures what the recipe's budget of bits is spent by.
    public init(
        _ source: RecipeSource, output: String? = nil, reading: WeightReading? = nil, measuresLosses: Bool = false, world: Communicator, clock: PhaseClock
    ) throws {
        self.source = source
        self.world = world
        self.clock = clock
        // The coordinator alone reads the recipe's file; its text is parsed again everywhere.
        let source = try world.fromCoordinator(exitCode: exitCode) { () throws -> RecipeSource in
            let recipe = try source.recipe()
            try OutputPlace.check(output ?? recipe.output, model: recipe.model)
            return source
        }
        var recipe = try source.recipe()
        if let output { recipe.output = output }
        if let reading { recipe.weights = reading }
        if measuresLosses { recipe = recipe.measuringLosses }
        let work = WorkDirectory(output: recipe.output)
        self.work = work
        let model = try Model(path: recipe.model, reading: recipe.weights, rotation: recipe.rotation, world: world)
        let chosen = recipe
        let found = try model.remarks + model.remarksOnCodes(world) + world.agreed { try model.architecture.checkLengths(chosen) }
        (plan, tokens, identity, budget, sourceOfLosses) = try clock.measure(.plan) { () throws in
            var plan = try world.agreed { () throws in try model.plan(chosen) }
            let tokens = try world.fromCoordinator(exitCode: exitCode) { () throws -> TokenSequences? in
                // What the format cannot carry is said before the work, not after it.
                for some in plan.uniformChoices { _ = try OutputPlan(some, source: model.tensors) }
                return try chosen.calibration.map {
                    try TokenSequences.load(
                        $0, tokenizer: chosen.model + "/tokenizer.json", vocabularySize: model.architecture.vocabularySize)
                }
            }
            let table = try world.fromCoordinator(exitCode: exitCode) { () throws -> LossTable? in
                guard let budget = chosen.budget else { return nil }
                return try LossTable.find(
                    budget.losses, own: work.losses, plan: PlanIdentity(model.plan(chosen.measuringLosses), model, tokens).hash)
            }
            var outcome: BudgetOutcome?
            if let table {
                (plan, outcome) = try world.agreed { () throws in
                    try plan.choosing(by: table, path: chosen.budget?.losses ?? work.losses) { try OutputPlan($0, source: model.tensors).content.byteCount }
                }
            }
            return (plan, tokens, try PlanIdentity(plan, model, tokens), outcome, table?.source)
        }
        planHash = identity.hash
        remarks = found + plan.remarks
        self.recipe = recipe
        self.model = model
    }

    /// Compresses every linear; the tiles are committed when this returns.
    ///
    /// - Parameters:
    ///   - memory: what is kept in memory; nil: everything.
    ///   - scratch: a directory for activations where the plan does not keep them in memory.
    ///   - started: is told what was found of earlier attempts.
    /// - Throws: an `AgreedFailure` with exit code 75 when `stop` asked for it; the stages that are done are committed then.
    public func compress(
        stop: StopConditions, memory: MemoryPlan? = nil, scratch: String?, _ started: (String?) -> Void
    ) throws -> CompressionOutcome {
        let memory = try memory ?? plan.memoryPlan(ranks: world.size, threads: 1, limit: nil, keepsActivations: scratch == nil, tensorParallel: 1)
        let run = try CompressionRun(self, runIdentity(), stop: stop, memory: memory, scratch: memory.keepsActivations ? nil : scratch ?? work.path)
        started(run.resumption)
        return try run.run()
    }

    /// Assembles the checkpoint from the committed tiles.
    public func merge() throws -> SizeReport {
        guard !needsLosses else {
            throw AgreedFailure(
                rank: 0, exitCode: PipelineError.Kind.stopped.rawValue,
                description: "\(work.losses), by which the budget of `bits` is spent, is missing; run `cleave compress` again to measure it anew")
        }
        let journal = try Journal(work, runIdentity(), plan, world: world)
        let tiles = CommittedTiles(journal.entries, plan, work)
        guard tiles.count == plan.tileCount else {
            throw AgreedFailure(
                rank: 0, exitCode: PipelineError.Kind.stopped.rawValue,
                description: "\(tiles.count) of \(plan.tileCount) tiles are committed in \(work.output); run `cleave compress` again to finish them")
        }
        return try clock.measure(.merge) { () throws in
            // Files take pages, matrices do not; those that are given back now come first, and a virtual machine has not yet lost them to its host.
            MemoryPool.giveBackMatrices()
            return try Merge(self, tiles: tiles).run()
        }
    }

    func runIdentity() throws -> RunIdentity {
        guard let sourceFiles else { throw PipelineError(.internalError, "the output directory \(work.output) has not been entered") }
        return RunIdentity(planHash: planHash, sourceDigest: sourceFiles.digest)
    }

    /// Gathers what the ranks measured and writes report.json.
    /// - Returns: the report, on the coordinator alone.
    public func report(
        _ outcome: CompressionOutcome, size: SizeReport?, before: EvaluationReport?, after: EvaluationReport?, wallSeconds: Double,
        peakMemoryBytes: Int, memory: MemoryReport?
    ) throws -> RunReport? {
        let own = RankReport(
            rank: world.rank, host: Session.hostName, seconds: clock.seconds, operations: clock.operations, bytesSent: world.bytesSent,
            bytesRead: model.checkpoint.bytesRead, peakMemoryBytes: peakMemoryBytes)
        let ranks = try world.gather([UInt8](JSONEncoder().encode(own)))
        guard world.isCoordinator else { return nil }
        var report = RunReport(
            cleave: cleaveVersion, model: recipe.model, planHash: planHash,
            calibration: tokens.flatMap { tokens in
                recipe.calibration.map {
                    CalibrationReport(
                        source: $0.source, sequences: $0.sequences, length: $0.length, seed: $0.seed, idsHash: tokens.hash,
                        distinctTokens: tokens.distinctCount)
                }
            }, tiles: outcome.tiles, wallSeconds: wallSeconds)
        report.linears = outcome.linears
        report.mixtures = outcome.mixtures.isEmpty ? nil : outcome.mixtures
        report.ranks = try ranks.map { try JSONDecoder().decode(RankReport.self, from: Data($0)) }
        report.memory = memory
        report.size = size
        report.before = before
        report.after = after
        return report
    }

    /// Writes report.json; the coordinator's task.
    public func save(_ report: RunReport) throws {
        _ = try AtomicFile.write(report.json(), to: work.report)
    }

    /// Takes away what a verified result no longer needs.
    public func removePartialCheckpoints() {
        guard world.isCoordinator else { return }
        work.removePartialCheckpoints()
        work.measuring.removePartialCheckpoints()
    }
}

extension Communicator {
    /// Runs work that succeeds or fails alike on every rank, so that its failure is printed once.
    func agreed<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            throw AgreedFailure(rank: 0, exitCode: exitCode(for: error), description: String(describing: error))
        }
    }
}

extension Model {
    /// The type in which the scales of a weight are stored: the weight's own.
    func scaleType(_ weight: String) throws -> ScaleType {
        switch tensors[weight]?.description.type.ofWeights {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case let other: throw PipelineError(.badInput, "tensor \(weight) is of type \(other?.rawValue ?? "none"); F64, F32, F16 or BF16 is needed")
        }
    }
}
