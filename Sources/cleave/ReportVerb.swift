// cleave report: a run, or several beside each other, as a page for people.

import ArgumentParser
import Checkpoints
import MessagePassing
import Pages
import Reporting
import Safetensors

struct ReportVerb: Verb {
    static let ranks = VerbRanks.first

    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "Write a page (HTML, one file) of a run, also of one that goes on or has failed, or of several results.",
        discussion:
            "A run writes its own page, OUTPUT/cleave/report.html, when it ends. Exit codes: 66 when no run has worked there, 73 when the page cannot be written."
    )

    @Argument(help: "Output directories of runs.", completion: .directory)
    var directories: [String]

    @Option(name: .shortAndLong, help: "The page; needed for several runs (default: DIR/cleave/report.html).", completion: .file(extensions: ["html"]))
    var output: String?

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if directories.count > 1, output == nil { throw ValidationError("--output is needed for a page of \(directories.count) runs") }
        if directories.count > Page.mostResults {
            throw ValidationError("a page can show \(Page.mostResults) runs beside each other, found \(directories.count)")
        }
    }

    func run(_ world: Communicator) throws {
        let accounts = try directories.map { try RunAccount(of: $0) }
        let path = output ?? WorkDirectory(output: directories[0]).page
        try AtomicFile.write(Page(accounts).html(), to: path)
        Console.output(common.json ? try jsonLine(["page": path]) : "\(path)\n")
    }
}
