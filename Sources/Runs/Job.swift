// From a recipe to everything a run needs: model, tokens, plan and its hash.

public import Checkpoints
internal import Failures
public import MessagePassing
public import Models
public import Recipes
public import Reporting
internal import Safetensors
public import Sharding
public import Texts
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
    /// How the recipe's budget was spent; nil without one, and until losses are measured.
    public let budget: BudgetOutcome?
    /// Of the source on which the losses were measured.
    let sourceOfLosses: String?
    /// The plan in parts; `planHash` is their checksum.
    let identity: PlanIdentity
    /// Held from entering the output directory until this object goes.
    var lock: RunLock?
    /// Of the attempt at hand, on the coordinator.
    var log: RunLog?
    /// Ranks by host; known after entering.
    var hosts: [String: Int] = [:]
    /// The source's files; known after entering.
    var sourceFiles: SourceFiles?

    /// - Parameters:
    ///   - output: replaces the recipe's output directory (a run that was moved).
    ///   - reading: replaces the recipe's `weights`.
    ///   - measuresLosses: whether this is the run that measures what the recipe's budget is spent by.
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
        let model = try Model(path: recipe.model, reading: recipe.weights, equivalence: recipe.equivalence, world: world)
        let chosen = recipe
        let found = try model.remarks + model.remarksOnCodes(world) + world.agreed { try model.architecture.checkLengths(chosen) }
        (plan, tokens, identity, budget, sourceOfLosses) = try clock.measure(.plan) { () throws in
            var plan = try world.agreed { () throws in try model.plan(chosen) }
            let tokens = try world.fromCoordinator(exitCode: exitCode) { () throws -> TokenSequences? in
                // What the format cannot carry is said before the work, not after it.
                for some in plan.uniformChoices { _ = try OutputPlan(some, source: model.tensors).content.gguf?.model.tokenizer(in: chosen.model) }
                return try chosen.calibration.map {
                    try TokenSequences.load(
                        $0, tokenizer: chosen.model + "/tokenizer.json", vocabularySize: model.architecture.vocabularySize)
                }
            }
            let table = try world.fromCoordinator(exitCode: exitCode) { () throws -> LossTable? in
                guard let budget = chosen.budget else { return nil }
                return try LossTable.find(
                    budget.losses, own: work.losses, plan: PlanIdentity(model.plan(chosen.measuringLosses), model, idsHash: tokens?.hash).hash)
            }
            var outcome: BudgetOutcome?
            if let table {
                (plan, outcome) = try world.agreed { () throws in
                    try plan.choosing(by: table, path: chosen.budget?.losses ?? work.losses) { try OutputPlan($0, source: model.tensors).content.byteCount }
                }
            }
            return (plan, tokens, try PlanIdentity(plan, model, idsHash: tokens?.hash), outcome, table?.source)
        }
        planHash = identity.hash
        remarks = found + plan.remarks
        self.recipe = recipe
        self.model = model
    }

    func runIdentity() throws -> RunIdentity {
        guard let sourceFiles else { throw PipelineError(.internalError, "the output directory \(work.output) has not been entered") }
        return RunIdentity(planHash: planHash, sourceDigest: sourceFiles.digest)
    }

    /// Takes away what a verified result no longer needs.
    public func removePartialCheckpoints() {
        guard world.isCoordinator else { return }
        work.removePartialCheckpoints()
        work.measuring.removePartialCheckpoints()
    }

    /// The sizes of what the run reads and writes.
    public func volumes() throws -> FileVolumes {
        try OutputPlan(plan, source: model.tensors).volumes(source: model.checkpoint.index)
    }
}
