// cleave status: how a run stands, from any machine that sees its directory.

import ArgumentParser
import Foundation
import MessagePassing
import Reporting
import Runs

struct StatusVerb: Verb {
    static let ranks = VerbRanks.first

    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say how a run stands: what is committed, rate and time left, its ranks, its last error.",
        discussion: """
            Reads the output directory alone and writes nothing, also while the run goes on and where no MPI library could start. Exit codes: 0 however \
            the run stands, 66 when no run has worked there.
            """)

    @Argument(help: "The output directory of the run.", completion: .directory)
    var directory: String

    @OptionGroup var common: CommonOptions

    func run(_ world: Communicator) throws {
        let status = try runStatus(of: directory)
        guard common.json else { return Console.output(status.text()) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        Console.output(String(decoding: try encoder.encode(status), as: UTF8.self) + "\n")
    }
}
