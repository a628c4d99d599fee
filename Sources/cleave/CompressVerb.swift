// cleave compress: from a recipe to a verified checkpoint.

import ArgumentParser
import MessagePassing
import Pipeline
import Recipes
import Reporting
import Safetensors
import Sharding
import Transformers

struct CompressVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "compress", abstract: "Compress a model as a recipe says, merge and verify the result; resumes a run that was interrupted.")

    @OptionGroup var recipe: RecipeOptions
    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    @Flag(help: "Stop when all tiles are committed; `cleave merge` then assembles the checkpoint.")
    var noMerge = false

    @Flag(help: "Keep the partial checkpoints of a verified result.")
    var keepPartial = false

    func run(_ world: Communicator) throws {
        let start = ContinuousClock.now
        let clock = PhaseClock()
        let source = try world.fromCoordinator(exitCode: Pipeline.exitCode) { try recipe.source() }
        let job = try Job(source, access: weights.access, world: world, clock: clock)
        guard try job.enter() != .finished else {
            if world.isCoordinator { Console.output("\(job.recipe.output) is finished already (plan \(job.planHash)); nothing to do\n") }
            return
        }
        say(world, banner(job, world))
        let before = try evaluation(of: job.model, job, world)
        let (linears, tiles) = try job.compress { resumption in
            if let resumption { say(world, resumption + "\n") }
        }
        var (size, after): (SizeReport?, EvaluationReport?)
        if !noMerge {
            size = try job.merge()
            try checkResult(job, world)
            if job.recipe.evaluation != nil {
                after = try evaluation(of: Model(path: job.recipe.output, access: weights.access, world: world), job, world)
            }
        }
        let wall = start.duration(to: .now) / .seconds(1)
        if let report = try job.report(linears, tiles, size: size, before: before, after: after, wallSeconds: wall) {
            try job.save(report)
            Console.output(common.json ? try jsonLine(report) : closingText(report, job))
        }
        if !noMerge, !keepPartial { try job.removePartialCheckpoints() }
    }

    /// Verifies the merged checkpoint and fails when it is not sound.
    private func checkResult(_ job: Job, _ world: Communicator) throws {
        let result = try job.clock.measure(.verify) { () throws in try verify(job.recipe.output, world: world) }
        guard result.problems.isEmpty else {
            throw AgreedFailure(
                rank: 0, exitCode: 74, description: "the merged checkpoint is damaged:\n  " + result.problems.joined(separator: "\n  "))
        }
    }

    private func evaluation(of model: Model, _ job: Job, _ world: Communicator) throws -> EvaluationReport? {
        guard let evaluation = job.recipe.evaluation else { return nil }
        let windows = try world.fromCoordinator(exitCode: Pipeline.exitCode) {
            try TokenSequences.windows(
                source: evaluation.source, length: evaluation.length, count: evaluation.sequences, tokenizer: job.recipe.model + "/tokenizer.json",
                vocabularySize: model.architecture.vocabularySize)
        }
        return try evaluate(model, windows, compute: evaluation.compute, world: world, clock: job.clock)
    }

    private func say(_ world: Communicator, _ text: String) {
        if world.isCoordinator { Console.error(text) }
    }

    private func banner(_ job: Job, _ world: Communicator) -> String {
        let plan = job.plan
        let calibration = job.recipe.calibration.map { "\($0.sequences) x \($0.length) tokens in \(plan.batches.count) batches" } ?? "none"
        return """
            cleave \(cleaveVersion)  plan \(job.planHash)
            model        \(job.recipe.model) (\(plan.architecture.family), \(plan.blocks.count) blocks, \(formatBytes(job.model.checkpoint.index.totalByteCount)))
            calibration  \(calibration), compute \(job.recipe.compute.effective.rawValue), propagation \(job.recipe.propagation.rawValue)
            work         \(plan.compressedLinears.count) linears in \(plan.tileCount) tiles, \(world.size) ranks
            output       \(job.recipe.output) (\(job.recipe.format.rawValue))

            """
    }

    private func closingText(_ report: RunReport, _ job: Job) -> String {
        var text = "\n" + report.phaseTable()
        for line in report.deviations() { text += "note: \(line)\n" }
        if let summary = report.summaryTable() { text += "\n" + summary }
        text += noMerge ? "committed in \(job.recipe.output); `cleave merge \(job.recipe.output)` assembles the checkpoint\n" : "verified \(job.recipe.output)\n"
        return text
    }
}
