// What `cleave plan` looks at: a recipe with its model, or the shape of a model whose weights are not there.

import ArgumentParser
import Failures
import MessagePassing
import Models
import Recipes
import Reporting
import Runs
import Safetensors
import Sharding

/// A recipe with what the command line changes in it, or none for a shape.
struct PlannedRecipeOptions: ParsableArguments {
    @Argument(help: "The recipe (YAML); may be left out with --shape.", completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String?

    @Option(help: "A config.json, or a directory that holds one: plan for that model without its weights.", completion: .file(extensions: ["json"]))
    var shape: String?

    @Option(help: "Model directory; replaces the recipe's.", completion: .directory)
    var model: String?

    @Option(help: "Output directory; replaces the recipe's.", completion: .directory)
    var output: String?

    @Option(name: .customLong("set"), help: ArgumentHelp("Change a value of the recipe, such as compress.bits=3 (repeatable).", valueName: "path=value"))
    var overrides: [String] = []

    /// What a shape is planned with when there is no recipe.
    private static let plain = "{output: none, calibration: {source: none, sequences: 128, length: 2048}, ignore: [lm_head]}"

    func validate() throws {
        if recipe == nil, shape == nil { throw ValidationError("Missing expected argument '<recipe>': give a recipe, or --shape with a config.json") }
        if shape != nil, model != nil { throw ValidationError("--shape stands for the model, so --model has no meaning beside it") }
    }

    func source() throws -> RecipeSource {
        let model = shape ?? model
        if let recipe { return try RecipeSource(file: recipe, overrides: overrides, model: model, output: output) }
        return RecipeSource(yaml: Self.plain, name: "the plain recipe", overrides: overrides, model: model, output: output)
    }
}

/// A plan with the sizes of its files.
struct PlanSubject {
    let plan: Plan
    let files: FileVolumes
    /// nil without weights.
    let hash: String?
    /// How a budget was spent; nil without one, and until its losses are measured.
    let budget: BudgetOutcome?
    /// What the user should know of model and recipe: sentences, on the coordinator.
    let remarks: [String]

    /// Collective. Without weights the coordinator alone has a result.
    ///
    /// - Parameter shape: what `--shape` gave; the recipe names it as its model.
    init?(_ source: RecipeSource, shape: String?, reading: WeightReading?, world: Communicator) throws {
        let isShape = try world.fromCoordinator(exitCode: Failures.exitCode) { try shape != nil || ModelShape.isAll(of: source.recipe().model) }
        guard isShape else {
            let job = try Job(source, reading: reading, world: world, clock: PhaseClock())
            (plan, files, remarks) = (job.plan, try job.volumes(), job.remarks + job.calibrationRemarks)
            (hash, budget) = (job.needsLosses ? nil : job.planHash, job.budget)
            return
        }
        var planned: (Plan, FileVolumes, [String])?
        try world.onCoordinator(exitCode: Failures.exitCode) {
            let recipe = try source.recipe()
            let model = try ModelShape(path: recipe.model)
            let plan = try model.plan(recipe)
            planned = (plan, try model.volumes(plan), model.remarks + plan.remarks)
        }
        guard let planned else { return nil }
        (plan, files, remarks) = planned
        (hash, budget) = (nil, nil)
    }

    var summary: String {
        let calibration = plan.recipe.calibration.map { "\($0.sequences) x \($0.length) tokens in \(plan.batches.count) batches" } ?? "none"
        let undecided = plan.units.isEmpty ? nil : "none yet: losses are to be measured first; until then what follows has the middle choice"
        return """
            plan         \(hash ?? undecided ?? "none yet: the weights are not there")
            model        \(plan.recipe.model) (\(plan.architecture.family), \(plan.blocks.count) blocks, \(formatBytes(files.sourceBytes)))
            calibration  \(calibration)
            work         \(plan.compressedLinears.count) linears in \(plan.tileCount) tiles
            \(plan.schemes.map { "numbers      \($0)\n" }.joined())\
            \(plan.units.isEmpty ? "" : "budget       decided after measuring: \(lossesText(plan))\n")\
            result       \(formatBytes(files.outputBytes)) in \(files.outputFiles) files (\(plan.recipe.format.rawValue)), \(format(files.bitsPerWeight, digits: 2)) bits per compressed weight


            """
    }
}
