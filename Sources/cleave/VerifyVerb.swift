// cleave verify: is a finished checkpoint whole?

import ArgumentParser
import Checkpoints
import MessagePassing
import Reporting

struct VerifyVerb: Verb {
    static let ranks = VerbRanks.connected

    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Recompute the checksums of a finished checkpoint and check that every tensor is there exactly once, with its shape.")

    @Argument(help: "A checkpoint directory that Cleave wrote.", completion: .directory)
    var directory: String

    @OptionGroup var common: CommonOptions

    func run(_ world: Communicator) throws {
        let result = try verify(directory, world: world)
        if world.isCoordinator, common.json { Console.output(try jsonLine(result)) }
        guard result.problems.isEmpty else {
            throw AgreedFailure(rank: 0, exitCode: 65, description: "\(directory) is not sound:\n  " + result.problems.joined(separator: "\n  "))
        }
        guard world.isCoordinator, !common.json else { return }
        Console.output("\(directory) is sound: \(result.tensors) tensors in \(result.files) files, \(formatBytes(result.bytes))\n")
    }
}
