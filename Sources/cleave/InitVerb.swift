// cleave init: a first recipe for a model, with what it would take.

import ArgumentParser
import Failures
import MessagePassing
import Models
import Reporting
import Runs
import Sharding

struct InitVerb: Verb {
    static let ranks = VerbRanks.first

    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Write a first recipe for a model, with comments, on standard output.",
        discussion: """
            Looks at config.json alone, so the weights need not be there. What is written fits the model: `cleave init MODEL > recipe.yaml`, then \
            `cleave plan recipe.yaml`.
            """)

    @Argument(help: "A model directory, or a config.json.", completion: .file())
    var model: String

    @Option(help: "Output directory that the recipe names (default: the model's name with -w4a16, here).", completion: .directory)
    var output: String?

    @Option(help: "Calibration text that the recipe names.", completion: .file())
    var calibration = "calibration.jsonl"

    @OptionGroup var common: CommonOptions

    private struct Output: Encodable {
        var recipe: String
        var remarks: [String]
        var files: FileVolumes
        /// Bytes of the busiest rank, by number of ranks.
        var memory: [String: Int]
    }

    /// Numbers of ranks for which the memory is said.
    private static let rankCounts = [1, 8, 64]

    func run(_ world: Communicator) throws {
        let text = try world.fromCoordinator(exitCode: Failures.exitCode) { try recommendation() }
        if world.isCoordinator { Console.output(text) }
    }

    private func recommendation() throws -> String {
        let shape = try ModelShape(path: model)
        let directory = shape.path.hasSuffix("/config.json") ? String(shape.path.dropLast("/config.json".count)) : shape.path
        let name = directory.split(separator: "/").last.map(String.init) ?? "model"
        let found = try RecommendedRecipe(shape, model: directory, output: output ?? "\(name)-w4a16", calibration: calibration)
        let memory = Self.rankCounts.compactMap { ranks in (try? found.plan.memoryPlan(ranks: ranks, threads: 1, limit: .none)).map { (ranks, $0.bound) } }
        if common.json {
            let bounds = Dictionary(uniqueKeysWithValues: memory.map { ("\($0.0)", $0.1) })
            return try jsonLine(Output(recipe: found.yaml, remarks: found.remarks, files: found.files, memory: bounds))
        }
        let architecture = found.plan.architecture
        let comments =
            [
                "A recipe for \(name) (\(architecture.family), \(found.plan.blocks.count) blocks), by cleave init \(cleaveVersion). docs/recipes.md explains every key.",
                "",
                "The result: \(formatBytes(found.files.outputBytes)) of \(formatBytes(found.files.sourceBytes)), "
                    + "\(format(found.files.bitsPerWeight, digits: 2)) bits for each of the weights of \(found.plan.compressedLinears.count) linears.",
                "With " + memory.map { "\($0.0)" }.joined(separator: ", ") + " ranks of one thread a rank holds at most "
                    + memory.map { formatBytes($0.1) }.joined(separator: ", ") + "; --memory-per-rank sets a limit. `cleave plan` says more, and with "
                    + "`cleave bench` the time.",
            ] + found.remarks.map { "Note: \($0)." }
        return comments.map { $0.isEmpty ? "#" : "# \($0)" }.joined(separator: "\n") + "\n" + found.yaml
    }
}
