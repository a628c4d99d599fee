// The command lines of the documentation are run: here, with small models in place of large ones, or by other tests. The others are marked.

import Foundation
import Testing

@Suite(.serialized) struct DocumentedCommandTests {
    private enum Check {
        /// Run here, with these words in place of others and more behind them; `T` is a temporary folder.
        case here([(String, String)] = [], more: String = "")
        /// The same, where this machine can be a lab.
        case inLab([(String, String)] = [])
        /// Run by a file of tests, in which these words stand.
        case by(String, String)
    }

    private static let smallModel = [
        ("--ranks 16", "--ranks 2"), ("--threads 8", "--threads 1"), ("--hostfile hosts", "--hostfile T/hosts"), ("models/Llama-3.1-8B", "Demo/wikillama"),
        ("out/llama-w4", "T/out"), ("c4.jsonl", "T/c4.jsonl"), ("/shared/folder", "T"), ("machine.json", "T/machine.json"),
    ]
    private static let largeShape = [
        ("Llama-3.1-405B", "Benchmarks/shapes/llama-3.1-405b"), ("c4.jsonl", "T/c4.jsonl"), ("--output out", "--output T/plan"),
        ("--machine machine.json", "--machine T/machine.json"),
    ]

    /// Commands by their beginnings.
    private static let checks: [(beginning: String, check: Check)] = [
        (
            "./run_mpi.sh --ranks 16 --hostfile hosts -- compress Configs/gptq-w4a16.yaml",
            .here(smallModel, more: "--set calibration.sequences=4 --set calibration.length=64 --set compress.group=64")
        ),
        ("./run_mpi.sh --ranks 16 --threads 8 --hostfile hosts -- bench", .here(smallModel, more: "--seconds 0.01")),
        ("./run_mpi.sh", .by("Tests/Platforms/run.sh", "./run_mpi.sh \"make test\"")),
        ("make test", .by("Tests/Platforms/run.sh", "./run_mpi.sh \"make test\"")),
        ("cleave plan Configs/gptq-w4a16.yaml", .here(largeShape)),
        ("cleave plan --shape", .here(largeShape)),
        ("cleave manual", .here([("cleave.1", "T/cleave.1")])),
        ("cleave --generate-completion-script", .here([("> cleave", "> T/cleave")])),
        ("Cluster/lab.sh 2 -- sh -c", .inLab([("Configs/demo.yaml", "Configs/demo.yaml --output T/lab --set calibration.sequences=4 --set evaluation=null")])),
        ("Cluster/lab.sh 2 -- bash", .inLab()),
        ("Cluster/lab.sh 8 --slots 1 --bandwidth", .inLab([("...", "true")])),
        ("LAB_DIR=", .by("Tests/EndToEndTests/LabTests.swift", "Cluster/lab.sh cut host2")),
        ("python -c 'import json, sys, ", .by("Tests/Compatibility/test_texts.py", "chats-as-text.jsonl")),
    ]

    /// A command of a page, without comments; the comments of its block that stand before it.
    private struct Command {
        var page: String
        var line: String
        var comments: String
    }

    private static func commands() throws -> [Command] {
        var found: [Command] = []
        for page in try DocumentationTests.pages() {
            for block in try DocumentationTests.text(page).matches(of: #/(?s)```sh\n(.*?)```/#) {
                var comments = "", open = ""
                for line in block.output.1.split(separator: "\n").map(String.init) {
                    if open.isEmpty, line.hasPrefix("#") { comments += line } else { open += (open.isEmpty ? "" : "\n") + line }
                    // A command goes on behind a backslash, and inside quotes.
                    guard !open.isEmpty, !open.hasSuffix("\\"), open.count(where: { $0 == "'" }) % 2 == 0 else { continue }
                    found.append(Command(page: page, line: open.replacing(#/\ {2,}#.*$/#, with: ""), comments: comments))
                    open = ""
                }
            }
        }
        return found
    }

    @Test func everyCommandIsRunOrMarked() throws {
        let directory = try TemporaryDirectory()
        let text = try DocumentationTests.text("Demo/calibration.txt").prefix(40_000)
        try JSONSerialization.data(withJSONObject: ["text": String(text)]).write(to: URL(fileURLWithPath: directory.path + "/c4.jsonl"))
        try Data("localhost slots=2\n".utf8).write(to: URL(fileURLWithPath: directory.path + "/hosts"))
        let commands = try Self.commands()
        #expect(commands.count > 20)
        for command in commands where !command.comments.contains("not run") {
            guard let check = Self.checks.first(where: { command.line.hasPrefix($0.beginning) })?.check else {
                Issue.record("\(command.page): nothing runs `\(command.line)`, and no comment before it says `not run`")
                continue
            }
            switch check {
            case .here(let words, let more): try run(command, words, more, directory)
            case .inLab(let words): if Lab.isAvailable { try run(command, words, "", directory) }
            case .by(let file, let words):
                let isThere = try DocumentationTests.text(file).contains(words)
                #expect(isThere, "\(command.page): \(file) no longer runs `\(command.line)`")
            }
        }
    }

    private func run(_ command: Command, _ words: [(String, String)], _ more: String, _ directory: TemporaryDirectory) throws {
        let inFolder = words.map { ($0.0, $0.1.replacing(#/\bT(?=\/|$)/#, with: directory.path)) }
        let line = inFolder.reduce(command.line) { $0.replacing($1.0, with: $1.1) } + (more.isEmpty ? "" : " " + more)
        let run = try CleaveProcess.run(command: ["OMP_NUM_THREADS=1", "bash", "-c", "cleave() { \"$CLEAVE_BINARY\" \"$@\"; }\n\(line)"])
        #expect(run.exitCode == 0, "\(command.page): \(line)\n\(run.errors)")
    }
}
