// The job scripts for PBS and Flux, changed as their users change them, with stand-ins for the commands of these systems. Slurm's is run in the lab.

import Foundation
import Testing

@Suite struct BatchScriptTests {
    /// A batch system: its script, what is changed there to stop soon or late, and the commands that the script calls.
    struct System: Sendable, CustomTestStringConvertible {
        var name: String
        var script: String
        /// Lines of the script by their beginnings.
        var soon: [String: String]
        var late: [String: String]
        /// By the names of commands; `$calls` is a file in which they note their arguments.
        var commands: [String: String]
        var submission: String
        var testDescription: String { name }

        static let pbs = System(
            name: "PBS", script: "Cluster/pbs/compress.pbs", soon: ["self=": "self=job.pbs", "hours=": "hours=0.00001"],
            late: ["self=": "self=job.pbs", "hours=": "hours=1"], commands: ["qsub": "echo qsub \"$@\" >>$calls; echo 7.server"], submission: "qsub job.pbs")
        static let flux = System(
            name: "Flux", script: "Cluster/flux/compress.sh",
            soon: ["self=": "self=job.sh", "nodes=": "nodes=1 ranks=2 threads=1", "margin=": "margin=3600"],
            late: ["self=": "self=job.sh", "nodes=": "nodes=1 ranks=2 threads=1"],
            commands: [
                "flux": """
                echo flux "$@" >>$calls
                case $1 in
                    job) echo 3600 ;;
                    --parent) echo f7 ;;
                    run) shift 6; exec mpirun -n 2 --map-by slot:OVERSUBSCRIBE --bind-to none --allow-run-as-root "$@" ;;
                esac
                """
            ], submission: "flux --parent batch job.sh")
    }

    @Test(arguments: [System.pbs, .flux])
    func jobsAreSubmittedAgainUntilTheResultIsWhole(_ system: System) throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out", calls = directory.path + "/calls"
        let stopped = try run(system, system.soon, into: output, in: directory)
        #expect(stopped.exitCode == 0 && stopped.output.contains("submitted again as"), "\(stopped.output) \(stopped.errors)")
        #expect(stopped.errors.contains("stopped in good order"), "\(stopped.errors)")
        #expect(try String(contentsOfFile: calls, encoding: .utf8).split(separator: "\n").last.map(String.init) == system.submission)

        let whole = try run(system, system.late, into: output, in: directory)
        #expect(whole.exitCode == 0 && whole.errors.contains("resuming:") && !whole.output.contains("submitted again"), "\(whole.output) \(whole.errors)")
        let reference = try SmallRun.compress(directory.path + "/reference", ranks: 1)
        try #require(reference.exitCode == 0, "\(reference.errors)")
        try SmallRun.expectEqual(output, SmallRun.files(directory.path + "/reference"), system.name)
    }

    /// A wish to stop, and an error of the recipe, end the job for good.
    @Test(arguments: [System.pbs, .flux])
    func jobsThatShallEndAreNotSubmittedAgain(_ system: System) throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let process = try start(system, system.late, arguments: SmallRun.arguments(output), in: directory)
        // A file from before the run would be taken away when it begins.
        try SmallRun.wait(for: process, in: output)
        try Data().write(to: URL(fileURLWithPath: output + "/cleave/stop"))
        let wished = try process.wait()
        #expect(wished.exitCode == 75 && wished.output.contains("ended with exit code 75"), "\(wished.output) \(wished.errors)")
        let wrong = try run(system, system.late, arguments: ["compress", "no-such.yaml"], in: directory)
        #expect(wrong.exitCode == 66, "\(wrong.output) \(wrong.errors)")
        let calls = try? String(contentsOfFile: directory.path + "/calls", encoding: .utf8)
        #expect(calls?.contains(system.submission) != true, "\(calls ?? "")")
    }

    private func run(_ system: System, _ changes: [String: String], into output: String, in directory: TemporaryDirectory) throws -> CleaveRun {
        try run(system, changes, arguments: SmallRun.arguments(output), in: directory)
    }

    private func run(_ system: System, _ changes: [String: String], arguments: [String], in directory: TemporaryDirectory) throws -> CleaveRun {
        try start(system, changes, arguments: arguments, in: directory).wait()
    }

    private func start(_ system: System, _ changes: [String: String], arguments: [String], in directory: TemporaryDirectory) throws -> CleaveProcess {
        let files = directory.path + "/commands"
        try FileManager.default.createDirectory(atPath: files, withIntermediateDirectories: true)
        for (name, text) in system.commands {
            try Data("#!/bin/bash\ncalls=\(directory.path)/calls\n\(text)\n".utf8).write(to: URL(fileURLWithPath: files + "/" + name))
            chmod(files + "/" + name, 0o755)
        }
        let changes = changes.merging(["arguments=": "arguments=(\(arguments.joined(separator: " ")))"]) { first, _ in first }
        var unused = Set(changes.keys)
        let script = try String(contentsOfFile: CleaveProcess.root + "/" + system.script, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false
        ).map { line in
            guard let beginning = changes.keys.first(where: { line.hasPrefix($0) }) else { return String(line) }
            unused.remove(beginning)
            return changes[beginning] ?? ""
        }
        try #require(unused.isEmpty, "\(system.script) has no lines that begin with \(unused.sorted())")
        try Data(script.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: directory.path + "/job"))
        try Data("localhost\nlocalhost\n".utf8).write(to: URL(fileURLWithPath: directory.path + "/nodes"))
        let variables = [
            "PATH=\(files):\(ProcessInfo.processInfo.environment["PATH"] ?? "")", "OMP_NUM_THREADS=1", "PBS_JOBID=7.server",
            "PBS_O_WORKDIR=\(CleaveProcess.root)",
            "PBS_NODEFILE=\(directory.path)/nodes",
        ]
        return try CleaveProcess(command: variables + ["bash", directory.path + "/job"])
    }
}
