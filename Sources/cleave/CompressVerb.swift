// cleave compress: from a recipe to a verified checkpoint.

import ArgumentParser
import Calibration
import Failures
import LinearAlgebra
import Measurement
import MessagePassing
import Models
import Recipes
import Reporting
import Runs
import Safetensors
import Sharding
import Texts
import Transformers

struct CompressVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "compress", abstract: "Compress a model as a recipe says, merge and verify the result; resumes a run that was interrupted.")

    @OptionGroup var recipe: RecipeOptions
    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    @Option(help: "Stop in good order before this many hours have passed (exit code 75; the same command goes on).")
    var maxHours: Double?

    @OptionGroup var memory: MemoryOptions

    @Option(
        help: "Where activations are kept: memory, or scratch (a file without a name, one batch at a time in memory). Default: memory where they fit.")
    var activations: ActivationPlace?

    @Option(help: "Directory of the scratch file, best on a disk of each node (default: the output directory).", completion: .directory)
    var scratch: String?

    @Option(
        help: "A file, or a pipe, that gets a line of JSON for each event of the run, as OUTPUT/cleave/events.jsonl does: stages, commits, errors, the end.",
        completion: .file())
    var events: String?

    @Flag(
        help: ArgumentHelp(
            "Write OUTPUT/cleave/trace.json: what every rank did when, by one clock, for Perfetto (ui.perfetto.dev). Ranks' own files lie in OUTPUT/cleave/trace."
        ))
    var trace = false

    @Flag(help: "Stop when all tiles are committed; `cleave merge` then assembles the checkpoint.")
    var noMerge = false

    @Flag(help: "Keep the partial checkpoints of a verified result.")
    var keepPartial = false

    func validate() throws {
        if let maxHours, !(maxHours > 0) { throw ValidationError("--max-hours must be above 0, found \(maxHours)") }
        if scratch != nil, activations == .memory || (activations == nil && !memory.hasLimit) {
            throw ValidationError("--scratch has no meaning without --activations scratch")
        }
    }

    func run(_ world: Communicator) throws {
        let start = ContinuousClock.now
        StopConditions.listen()
        let clock = PhaseClock(awaitsTrace: trace)
        let source = try world.fromCoordinator(exitCode: Failures.exitCode) { try recipe.source() }
        var job = try Job(source, reading: weights.weights, world: world, clock: clock)
        var found = try job.enter()
        guard found.standing != .finished else {
            if world.isCoordinator { Console.output("\(job.recipe.output) is finished already (plan \(job.planHash)); nothing to do\n") }
            return
        }
        try traced(trace, in: job.work, by: clock, world) {
            var measuring: (memory: MemoryReport, held: Int)?
            if job.needsLosses {
                measuring = try measureLosses(for: job, remarks: found.remarks, start: start, world)
                job = try Job(source, reading: weights.weights, world: world, clock: clock)
                found = try job.enter()
            }
            try compress(job, remarks: found.remarks, measuring, start, world)
        }
    }

    /// Compresses with all that belongs to it, after it is known what there is to do. Collective.
    private func compress(
        _ job: Job, remarks: [String], _ measuring: (memory: MemoryReport, held: Int)?, _ start: ContinuousClock.Instant, _ world: Communicator
    ) throws {
        say(world, banner(job, world))
        if let budget = job.budget { say(world, "budget       \(budget.summary)\n") }
        for remark in job.remarks + remarks + job.calibrationRemarks { say(world, "note: \(remark)\n") }
        let windows = try evaluationWindows(job, world)
        let memory = try memory.plan(job, world, threads: threads(world), activations: activations, windows: windows?.sequences.count, held: measuring?.held)
        say(world, memory.text + "\n")
        MemoryPool.keepMatrices(upTo: memory.plan.matrices)
        let stop = StopConditions(world: world, start: start, maxHours: maxHours, file: job.work.stopFile)
        try withPage(of: job.work, world) {
            try job.logged(memory: memory.report, events: events) {
                try compress(job, memory: memory, measuring: measuring?.memory, windows, stop, start, world)
            }
        }
    }

    /// From the first evaluation to the last, and the report. Collective.
    private func compress(
        _ job: Job, memory: MemoryOptions.Resolved, measuring: MemoryReport?, _ windows: TokenSequences?, _ stop: StopConditions,
        _ start: ContinuousClock.Instant, _ world: Communicator
    ) throws {
        if let channels = job.plan.channelMeasurement?.channels {
            say(world, "channels     \(channels) to be measured, for which \(formatBytes(Int(job.plan.bytesOfMeasuring))) are read\n")
            try job.measureChannels()
        }
        let before = try evaluation(of: job.model, windows, job, stop, world)
        let outcome = try job.compress(stop: stop, memory: memory.plan, scratch: scratch) { resumption in
            if let resumption { say(world, resumption + "\n") }
        }
        var (size, after): (SizeReport?, EvaluationReport?)
        if !noMerge {
            job.begins(.merge)
            size = try job.merge()
            job.begins(.verify)
            _ = try job.clock.measure(.verify) { () throws in try verifyMerged(job.recipe.output, world) }
            if windows != nil {
                after = try evaluation(of: Model(path: job.recipe.output, reading: job.recipe.weights, world: world), windows, job, stop, world)
            }
        }
        let wall = start.duration(to: .now) / .seconds(1)
        let peakMemory = peakResidentBytes()
        let peak = try peakRate(job, wall, world)
        if var report = try job.report(
            outcome, size: size, before: before, after: after, wallSeconds: wall, peakMemoryBytes: peakMemory, memory: memory.report.after(measuring))
        {
            report.peakRate = peak
            try job.save(report)
            Console.output(common.json ? try jsonLine(report) : closingText(report, job))
        }
        if !noMerge, !keepPartial { job.removePartialCheckpoints() }
        try checkPerplexities(before, after, job)
    }

    /// Seconds of a run from which the rate of plain products is measured: it takes up to one second, and a shorter run has no rates worth comparing.
    private static let leastSeconds = 10.0

    /// Operations a second of plain matrix products on one rank, all at work; nil after a short run.
    private func peakRate(_ job: Job, _ seconds: Double, _ world: Communicator) throws -> Double? {
        var longest = [seconds]
        try world.allReduceMax(&longest)
        guard longest[0] >= Self.leastSeconds else { return nil }
        return try Measurement(world: world, seconds: 0.2).peak(job.recipe.compute.effective)
    }

    /// A result whose perplexity says nothing is there, verified and reported, and no success.
    private func checkPerplexities(_ before: EvaluationReport?, _ after: EvaluationReport?, _ job: Job) throws {
        let problems = [("the source", before), ("the result", after)].compactMap { name, evaluation in
            evaluation?.notFinite.map { "the perplexity of \(name) on the evaluation text is \($0)" }
        }
        guard !problems.isEmpty else { return }
        throw AgreedFailure(
            rank: 0, exitCode: 65,
            description: problems.joined(separator: ", and ") + " (\(job.recipe.output) is complete, with \(job.work.report))")
    }

    /// The windows of the recipe's evaluation; nil without one.
    private func evaluationWindows(_ job: Job, _ world: Communicator) throws -> TokenSequences? {
        guard let evaluation = job.recipe.evaluation else { return nil }
        return try world.fromCoordinator(exitCode: Failures.exitCode) {
            try TokenSequences.windows(
                source: evaluation.source, field: evaluation.field, length: evaluation.length, count: evaluation.sequences,
                tokenizer: job.recipe.model + "/tokenizer.json", vocabularySize: job.plan.architecture.vocabularySize)
        }
    }

    private func evaluation(
        of model: Model, _ windows: TokenSequences?, _ job: Job, _ stop: StopConditions, _ world: Communicator
    ) throws -> EvaluationReport? {
        guard let evaluation = job.recipe.evaluation, let windows else { return nil }
        job.begins(.evaluate)
        return try evaluate(model, windows, compute: evaluation.compute, world: world, clock: job.clock) { try stop.check(after: $0) }
    }

    func say(_ world: Communicator, _ text: String) {
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
        text +=
            noMerge ? "committed in \(job.recipe.output); `cleave merge \(job.recipe.output)` assembles the checkpoint\n" : "verified \(job.recipe.output)\n"
        return text
    }
}

extension ActivationPlace: ExpressibleByArgument {}
