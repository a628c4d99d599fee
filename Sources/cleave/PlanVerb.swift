// cleave plan: what a recipe would do, for any number of ranks, without doing it.

import ArgumentParser
import Compression
import MessagePassing
import Pipeline
import Recipes
import Reporting
import Safetensors
import Sharding
import Transformers

struct PlanVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what a recipe would do: linears and their rules, tiles, arithmetic, messages, memory per rank, files.")

    @OptionGroup var recipe: RecipeOptions
    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("Numbers of ranks to show, separated by commas.", valueName: "8,64,1024"))
    var ranks = "1,2,4,8,16"

    @Option(help: "A profile that `cleave bench` wrote: predicts the time of each phase.", completion: .file(extensions: ["json"]))
    var machine: String?

    @Flag(help: "List every linear with the treatment that it gets.")
    var linears = false

    private var rankCounts: [Int] { ranks.split(separator: ",").compactMap { Int($0) } }

    func validate() throws {
        guard !rankCounts.isEmpty, rankCounts.count == ranks.split(separator: ",").count, rankCounts.allSatisfy({ $0 > 0 }) else {
            throw ValidationError("--ranks must be numbers separated by commas, found `\(ranks)`")
        }
    }

    private struct Output: Encodable {
        var plan: String
        var linears: [String: Treatment]
        var tiles: Int
        var batches: Int
        var costs: [Costs]
        var predictions: [Prediction]
    }

    func run(_ world: Communicator) throws {
        let source = try world.fromCoordinator(exitCode: Pipeline.exitCode) { try recipe.source() }
        let profile = try world.fromCoordinator(exitCode: Pipeline.exitCode) { try machine.map(MachineProfile.read) }
        let job = try Job(source, access: weights.access, world: world, clock: PhaseClock())
        guard world.isCoordinator else { return }
        let plan = job.plan
        let costs = rankCounts.map(plan.costs)
        let predictions = profile.map { profile in
            rankCounts.map { plan.prediction(ranks: $0, sourceBytes: job.model.checkpoint.index.totalByteCount, on: profile) }
        }
        if common.json {
            let treatments = plan.compressedLinears.compactMap { linear in linear.treatment.map { (linear.linear.name, $0) } }
            Console.output(
                try jsonLine(
                    Output(
                        plan: job.planHash, linears: Dictionary(uniqueKeysWithValues: treatments), tiles: plan.tileCount, batches: plan.batches.count,
                        costs: costs, predictions: (predictions ?? []).compactMap { $0 })))
        } else {
            Console.output(summary(job))
            if linears { Console.output(linearTable(plan)) }
            Console.output(costTable(costs))
            if let profile, let predictions { Console.output("\n" + predictionTable(profile, predictions)) }
        }
    }

    private func summary(_ job: Job) -> String {
        let plan = job.plan
        let calibration = job.recipe.calibration.map { "\($0.sequences) x \($0.length) tokens in \(plan.batches.count) batches" } ?? "none"
        return """
            plan         \(job.planHash)
            model        \(job.recipe.model) (\(plan.architecture.family), \(plan.blocks.count) blocks, \(formatBytes(job.model.checkpoint.index.totalByteCount)))
            calibration  \(calibration)
            work         \(plan.compressedLinears.count) linears in \(plan.tileCount) tiles


            """
    }

    private func linearTable(_ plan: Plan) -> String {
        var table = Table(header: ["linear", "shape", "method", "sparsity", "bits", "group", "grid", "act-order", "rule"])
        for block in plan.blocks {
            for linear in block.stages.flatMap(\.linears) {
                let shape = "\(linear.linear.rows) x \(linear.linear.columns)"
                guard let treatment = linear.treatment else {
                    table.add([linear.linear.name, shape, "kept", "", "", "", "", "", ""])
                    continue
                }
                let rule = plan.recipe.rules.first { $0.match.matches(linear.linear.name) }
                let quantization = treatment.bits.map { ["\($0)", "\(treatment.group)", treatment.grid.rawValue] } ?? ["", "", ""]
                let sparsity = treatment.sparsity.map { sparsity in "\(sparsity)" + (treatment.maskBlock.map { " by \($0)" } ?? "") } ?? ""
                table.add([linear.linear.name, shape, treatment.method.rawValue, sparsity] + quantization + [
                    treatment.actOrder.rawValue, rule.map { $0.line.map { "line \($0)" } ?? $0.match.text } ?? "",
                ])
            }
        }
        return table.text() + "\n"
    }

    private func costTable(_ costs: [Costs]) -> String {
        var table = Table(header: ["ranks", "forward", "Hessian", "factor", "solve", "read", "sent", "memory", "partial files"])
        for cost in costs {
            table.add([
                "\(cost.ranks)", formatCount(cost.forwardOperations), formatCount(cost.hessianOperations), formatCount(cost.factorOperations),
                formatCount(cost.solveOperations), formatBytes(Int(cost.bytesRead)), formatBytes(Int(cost.bytesSent)), formatBytes(cost.memory),
                "\(cost.partialFiles)",
            ])
        }
        return "for the busiest rank (operations are multiplications and additions):\n" + table.text()
    }

    private func predictionTable(_ profile: MachineProfile, _ predictions: [Prediction?]) -> String {
        var table = Table(header: ["ranks", "forward", "Hessian", "factor", "solve", "messages", "files", "total"])
        for (ranks, prediction) in zip(rankCounts, predictions) {
            let seconds = prediction.map { [$0.forward, $0.hessian, $0.factor, $0.solve, $0.messages, $0.files, $0.total].map(formatSeconds) }
            table.add(["\(ranks)"] + (seconds ?? Array(repeating: "?", count: 7)))
        }
        let note = predictions.contains { $0 == nil } ? "?: `cleave bench` on 2 ranks or more measures messages\n" : ""
        return "time on ranks of \(profile.threads) threads of \(profile.processor), without evaluation:\n" + table.text() + note
    }
}
