// How much memory a rank may take, and what follows from it.

import ArgumentParser
import Calibration
import LinearAlgebra
import MessagePassing
import Recipes
import Reporting
import Runs
import Sharding

struct MemoryOptions: ParsableArguments {
    @Option(
        name: .customLong("memory-per-rank"),
        help: ArgumentHelp("The most that a rank may hold, such as 1.5GiB; replaces the recipe's `memory_per_rank`.", valueName: "size"))
    var memoryPerRank: ByteCount?

    @Option(
        name: .customLong("memory-per-host"),
        help: ArgumentHelp(
            "The most that the ranks of a host may hold together, such as 200GiB; replaces the recipe's `memory_per_host`.", valueName: "size"))
    var memoryPerHost: ByteCount?

    @Option(
        help: ArgumentHelp(
            "Ranks of a node that run each stage forward together, each with a part of its weights (default: 1, or the fewest that keep the limit of memory).",
            valueName: "ranks"))
    var tensorParallel: Int?

    func validate() throws {
        if let tensorParallel, tensorParallel < 1 { throw ValidationError("--tensor-parallel must be at least 1, found \(tensorParallel)") }
    }

    /// What is kept in memory by a job on these ranks, in a form that can be printed.
    struct Resolved {
        var plan: MemoryPlan
        var limit: MemoryLimit

        /// One line for what was picked, and one with the bound of each phase.
        var text: String {
            let stages = plan.stages.flatMap { $0 }
            let parts = stages.compactMap(\.hessianBlocks).min()
            let lying = stages.count { !$0.completeFactor }
            let picks = [
                plan.keepsActivations ? "activations in memory" : "activations in a scratch file",
                parts.map { "Hessians from \($0 * ColumnBlocks.mostColumns) columns at a time" } ?? "Hessians whole",
                plan.tensorParallel == 1 ? "" : "tensor parallel \(plan.tensorParallel)",
                lying == 0 ? "factors complete on every rank" : "factors of \(lying) of \(stages.count) stages over the ranks",
            ]
            let host = plan.host.ranks > 1 ? ", \(formatBytes(plan.host.bytes)) a host of \(plan.host.ranks)" : ""
            let bounds = plan.phases.map { "\($0.name) \(formatBytes($0.bytes))\($0.stage.map { " (\($0))" } ?? "")" }
            return """
                memory       \(formatBytes(plan.bound)) a rank at most\(host)\(limit.text.map { ", limit \($0)" } ?? ""): \(picks.filter { !$0.isEmpty }.joined(separator: ", "))
                             \(bounds.joined(separator: ", "))
                """
        }

        var report: MemoryReport {
            MemoryReport(
                limitBytes: limit.rank, hostLimitBytes: limit.host, boundBytes: plan.bound, hostBoundBytes: plan.host.ranks > 1 ? plan.host.bytes : nil,
                phases: Dictionary(uniqueKeysWithValues: plan.phases.map { ($0.name, $0.bytes) }),
                tensorParallel: plan.tensorParallel == 1 ? nil : plan.tensorParallel)
        }
    }

    /// The limit of a recipe, or the one that replaces it.
    func limit(_ recipe: Recipe) -> MemoryLimit {
        MemoryLimit(rank: memoryPerRank?.bytes ?? recipe.memoryPerRank, host: memoryPerHost?.bytes ?? recipe.memoryPerHost)
    }

    /// Whether the command line gives one.
    var hasLimit: Bool { memoryPerRank != nil || memoryPerHost != nil }

    /// Collective: what the processes hold already is measured.
    ///
    /// - Parameter held: what this one held before its first work; nil: what it holds now.
    func plan(_ job: Job, _ world: Communicator, threads: Int, activations: ActivationPlace?, windows: Int?, held: Int? = nil) throws -> Resolved {
        let limit = limit(job.recipe)
        let plan = try job.memoryPlan(
            threads: threads, limit: limit, activations: activations, tensorParallel: tensorParallel, windows: windows, held: held)
        return Resolved(plan: plan, limit: limit)
    }
}

extension MemoryLimit {
    /// In words; nil where there is none.
    var text: String? {
        let parts = [rank.map(formatBytes), host.map { "\(formatBytes($0)) a host" }].compactMap { $0 }
        return parts.isEmpty ? nil : parts.joined(separator: " and ")
    }
}

/// A number of bytes on the command line.
struct ByteCount: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        guard let bytes = parseByteCount(argument) else { return nil }
        self.bytes = bytes
    }
}
