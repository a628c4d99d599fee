// cleave manual: the manual page, made of what `--help` is made of.

import ArgumentParser
import Foundation
import MessagePassing
import Reporting

struct ManualVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual", abstract: "Print the manual page, for `cleave manual > cleave.1`, of which `make install` makes use.", shouldDisplay: false)

    /// Prints the page; any number of ranks prints it once.
    ///
    /// - Parameter description: of the command and all its verbs, as swift-argument-parser writes it (`_dumpHelp`).
    func run(description: String) throws {
        guard Launcher.current.rank == 0 else { return }
        let tool = try JSONDecoder().decode(ManualPage.Tool.self, from: Data(description.utf8))
        Console.output(ManualPage(tool.command, version: cleaveVersion).text)
    }
}
