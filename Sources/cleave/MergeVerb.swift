// cleave merge: assembles the checkpoint of a run whose tiles are all committed.

import ArgumentParser
import Checkpoints
import Failures
import MessagePassing
import Recipes
import Reporting
import Runs

struct MergeVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "merge", abstract: "Assemble and verify the checkpoint of a run that stopped before its merge (compress --no-merge).")

    @Argument(help: "The output directory of the run.", completion: .directory)
    var directory: String

    @OptionGroup var weights: WeightOptions
    @OptionGroup var common: CommonOptions

    @Flag(help: "Keep the partial checkpoints of a verified result.")
    var keepPartial = false

    func run(_ world: Communicator) throws {
        let work = WorkDirectory(output: directory)
        let source = try world.fromCoordinator(exitCode: Failures.exitCode) { try RecipeSource(work: work) }
        let job = try Job(source, output: directory, reading: weights.weights, world: world, clock: PhaseClock())
        let found = try job.enter()
        guard found.standing != .finished else {
            if world.isCoordinator { Console.output("\(directory) is merged already; nothing to do\n") }
            return
        }
        if world.isCoordinator { for remark in found.remarks { Console.error("note: \(remark)\n") } }
        var outcome: (size: SizeReport, verified: VerificationResult)?
        try withPage(of: job.work, world) {
            outcome = try job.logged(memory: nil) {
                job.begins(.merge)
                let size = try job.merge()
                job.begins(.verify)
                let verified = try verifyMerged(directory, world)
                try world.onCoordinator(exitCode: Failures.exitCode) { try job.addToReport(size) }
                if !keepPartial { job.removePartialCheckpoints() }
                return (size, verified)
            }
        }
        guard let (size, result) = outcome else { return }
        guard world.isCoordinator else { return }
        Console.output(
            common.json
                ? try jsonLine(size)
                : "merged and verified \(directory): \(formatBytes(size.outputBytes)) in \(result.files) files, "
                    + "\(format(size.bitsPerWeight, digits: 3)) bits per compressed weight\n")
    }
}
