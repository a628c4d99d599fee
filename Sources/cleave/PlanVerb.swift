// cleave plan: what a recipe would do, for any number of ranks, without doing it.

import ArgumentParser
import Compression
import Failures
import LinearAlgebra
import MessagePassing
import Recipes
import Reporting
import Runs
import Safetensors
import Sharding
import Transformers

struct PlanVerb: Verb {
    static let ranks = VerbRanks.connected

    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what a recipe would do: linears and their rules, tiles, arithmetic, messages, memory per rank, files.",
        discussion: """
            A model directory that holds a config.json and no weights is planned for as well, without calibration text or tokenizer; so is a config.json \
            given with --shape, with 4 bits, groups of 128 and 128 x 2048 tokens where no recipe says otherwise.
            """)

    @OptionGroup var recipe: PlannedRecipeOptions
    @OptionGroup var weights: WeightOptions
    @OptionGroup var memory: MemoryOptions
    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("Numbers of ranks to show, separated by commas.", valueName: "8,64,1024"))
    var ranks = "1,2,4,8,16"

    @Option(help: ArgumentHelp("Ranks on each host (default: as in the profile, or 8).", valueName: "8"))
    var ranksPerHost: Int?

    @Option(help: "A profile that `cleave bench` wrote: predicts the time of each phase.", completion: .file(extensions: ["json"]))
    var machine: String?

    @Option(help: ArgumentHelp("GPUs over which the result will be split when it is served: says which linears could not be.", valueName: "8"))
    var serveTensorParallel: Int?

    @Flag(help: "List every linear with the treatment that it gets.")
    var linears = false

    private var rankCounts: [Int] { ranks.split(separator: ",").compactMap { Int($0) } }

    func validate() throws {
        if let ranksPerHost, !(1...PlanLimits.ranks).contains(ranksPerHost) {
            throw ValidationError("--ranks-per-host must be from 1 to \(PlanLimits.ranks), found \(ranksPerHost)")
        }
        if let gpus = serveTensorParallel, !(1...1024).contains(gpus) {
            throw ValidationError("--serve-tensor-parallel must be from 1 to 1024, found \(gpus)")
        }
        if let size = memory.tensorParallel, let ranks = rankCounts.first(where: { $0 > 0 && $0 % size != 0 }) {
            throw ValidationError("--tensor-parallel \(size) does not divide \(ranks) ranks; name multiples of it with --ranks")
        }
        guard !rankCounts.isEmpty, rankCounts.count == ranks.split(separator: ",").count, rankCounts.allSatisfy({ (1...PlanLimits.ranks).contains($0) }) else {
            throw ValidationError("--ranks must be numbers from 1 to \(PlanLimits.ranks) separated by commas, found `\(ranks)`")
        }
    }

    private struct Output: Encodable {
        /// The plan's hash; absent when there are no weights.
        var plan: String?
        var linears: [String: Treatment]
        var tiles: Int
        var batches: Int
        var files: FileVolumes
        /// How a budget was spent.
        var budget: BudgetOutcome?
        var costs: [Costs]
        /// By number of ranks; what would fit where the limit is too small.
        var memory: [String: MemoryReport]
        var shortages: [String: String]
        var predictions: [Prediction]
    }

    func run(_ world: Communicator) throws {
        let source = try world.fromCoordinator(exitCode: Failures.exitCode) { try recipe.source() }
        let profile = try world.fromCoordinator(exitCode: Failures.exitCode) {
            try machine.map { path in
                // Says what is no file of its own, such as a pipe, before anything waits for it.
                _ = try FileStamp(path: path)
                return try MachineProfile.read(path)
            }
        }
        let subject = try PlanSubject(source, shape: recipe.shape, reading: weights.weights, world: world)
        guard world.isCoordinator, let subject else { return }
        for remark in subject.remarks { Console.error("note: \(remark)\n") }
        var plan = subject.plan
        for problem in serveTensorParallel.map(plan.servingProblems) ?? [] { Console.error("note: \(problem)\n") }
        plan.multipliesBFloat16 = profile?.multipliesBFloat16 ?? BFloat16.isAccelerated
        let limit = memory.limit(plan.recipe), ranksOfHost = ranksPerHost ?? profile?.ranksOfHost ?? Plan.usualRanksOfHost
        let outcomes = rankCounts.map { ranks in
            (
                ranks: ranks,
                memory: Result { () throws(MemoryShortage) in
                    try plan.memoryPlan(
                        ranks: ranks, threads: common.threads ?? 1, limit: limit, tensorParallel: memory.tensorParallel, ranksOfHost: ranksOfHost)
                }
            )
        }
        let costs = outcomes.map { plan.costs(ranks: $0.ranks, ranksOfHost: ranksOfHost, memory: try? $0.memory.get()) }
        let predictions = profile.map { profile in
            outcomes.map { plan.prediction(ranks: $0.ranks, ranksOfHost: ranksOfHost, files: subject.files, on: profile, memory: try? $0.memory.get()) }
        }
        if common.json {
            let treatments = plan.compressedLinears.compactMap { linear in linear.treatment.map { (linear.linear.name, $0) } }
            Console.output(
                try jsonLine(
                    Output(
                        plan: subject.hash, linears: Dictionary(uniqueKeysWithValues: treatments), tiles: plan.tileCount, batches: plan.batches.count,
                        files: subject.files, budget: subject.budget, costs: costs,
                        memory: Self.byRanks(outcomes) { (try? $0.get()).map { MemoryOptions.Resolved(plan: $0, limit: limit).report } },
                        shortages: Self.byRanks(outcomes) { if case .failure(let shortage) = $0 { shortage.description } else { nil } },
                        predictions: (predictions ?? []).compactMap { $0 })))
        } else {
            Console.output(subject.summary)
            if let budget = subject.budget { Console.output(budget.text) }
            if linears { Console.output(try linearTable(plan)) }
            Console.output(costTable(costs))
            Console.output("\n" + memoryTable(outcomes, limit))
            if let profile, let predictions { Console.output("\n" + predictionTable(profile, predictions)) }
        }
    }

    private typealias Outcome = (ranks: Int, memory: Result<MemoryPlan, MemoryShortage>)

    private static func byRanks<Value>(_ outcomes: [Outcome], _ value: (Result<MemoryPlan, MemoryShortage>) -> Value?) -> [String: Value] {
        outcomes.reduce(into: [:]) { $0["\($1.ranks)"] = value($1.memory) }
    }

    /// The bound of each phase for each number of ranks, and what was picked to keep a limit.
    private func memoryTable(_ outcomes: [Outcome], _ limit: MemoryLimit) -> String {
        let names = outcomes.lazy.compactMap { try? $0.memory.get() }.first?.phases.map(\.name) ?? []
        var table = Table(header: ["ranks"] + names + ["a host", "tensor parallel", "activations", "Hessian columns", "factor", "tiles at once"])
        var shortages = ""
        for outcome in outcomes {
            switch outcome.memory {
            case .success(let memory):
                let stages = memory.stages.flatMap { $0 }
                table.add(
                    ["\(outcome.ranks)"] + memory.phases.map { formatBytes($0.bytes) } + [
                        "\(formatBytes(memory.host.bytes)) of \(memory.host.ranks)", "\(memory.tensorParallel)", memory.keepsActivations ? "memory" : "scratch",
                        stages.compactMap(\.hessianBlocks).min().map { "from \($0 * ColumnBlocks.mostColumns)" } ?? "all",
                        stages.allSatisfy(\.completeFactor) ? "complete" : "panels", stages.compactMap(\.tilesAtOnce).min().map { "from \($0)" } ?? "all",
                    ])
            case .failure(let shortage): shortages += "\(outcome.ranks) ranks: \(shortage)\n"
            }
        }
        return "memory of the busiest rank, and of a host with so many ranks\(limit.text.map { ", kept below \($0)" } ?? ""):\n" + table.text()
            + shortages
    }

    private func linearTable(_ plan: Plan) throws -> String {
        var table = Table(header: ["linear", "shape", "method", "sparsity", "bits", "group", "grid", "act-order", "rule"])
        for block in plan.blocks {
            for linear in block.stages.flatMap(\.linears) {
                let shape = "\(linear.linear.rows) x \(linear.linear.columns)"
                guard let treatment = linear.treatment else {
                    table.add([linear.linear.name, shape, "kept", "", "", "", "", "", ""])
                    continue
                }
                let rule = try plan.recipe.rules.first { rule in try linear.linear.names.contains { try rule.match.matches($0) } }
                let quantization = treatment.bits.map { [treatment.type?.rawValue ?? "\($0)", treatment.groupText, treatment.grid.rawValue] } ?? ["", "", ""]
                let together = treatment.maskBlock ?? treatment.sparsityBlock
                let sparsity = treatment.sparsity.map { sparsity in "\(sparsity)" + (together.map { " by \($0)" } ?? "") } ?? ""
                table.add(
                    [linear.linear.name, shape, treatment.method.rawValue, sparsity] + quantization + [
                        treatment.actOrder.rawValue, rule.map { $0.line.map { "line \($0)" } ?? $0.match.text } ?? "",
                    ])
            }
        }
        return table.text() + "\n"
    }

    private func costTable(_ costs: [Costs]) -> String {
        var table = Table(header: ["ranks", "forward", "Hessian", "factor", "solve", "read", "sent", "between hosts", "memory", "partial files"])
        for cost in costs {
            table.add([
                "\(cost.ranks)", formatCount(cost.forwardOperations), formatCount(cost.hessianOperations), formatCount(cost.factorOperations),
                formatCount(cost.solveOperations), formatBytes(Int(cost.bytesRead)), formatBytes(Int(cost.bytesSent)),
                formatBytes(Int(cost.bytesBetweenHosts)), formatBytes(cost.memory), "\(cost.partialFiles)",
            ])
        }
        return "for the busiest rank (operations are multiplications and additions); what is sent between hosts, and partial files, of all:\n" + table.text()
    }

    private func predictionTable(_ profile: MachineProfile, _ predictions: [Prediction?]) -> String {
        var table = Table(header: ["ranks", "forward", "tokens", "X^T X", "sums", "factor", "solve", "gather", "read", "write", "total"])
        for (ranks, prediction) in zip(rankCounts, predictions) {
            let seconds = prediction.map {
                [$0.forward, $0.exchange, $0.hessian, $0.reduce, $0.factor, $0.solve, $0.gather, $0.read, $0.commit + $0.merge + $0.verify, $0.total].map(
                    formatSeconds)
            }
            table.add(["\(ranks)"] + (seconds ?? Array(repeating: "?", count: 10)))
        }
        let note = predictions.contains { $0 == nil } ? "?: `cleave bench` on 2 ranks or more measures messages\n" : ""
        let hosts =
            profile.hosts == 1 && rankCounts.contains { $0 > profile.ranks }
            ? "measured on one host: between hosts messages take other times, which `cleave bench` on several measures\n" : ""
        return "time on ranks of \(profile.threads) threads of \(profile.processor), without evaluation:\n" + table.text() + note + hosts
    }
}
