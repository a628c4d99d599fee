// What people see of a run while it goes on and afterwards: `cleave status`, `cleave report`, report.html, the events.

import Foundation
import Testing

@Suite(.serialized) struct PageAndStatusTests {
    /// Long enough to be met in its middle.
    private let longer = ["calibration.sequences=32", "calibration.length=256", "evaluation=null"]

    private func status(_ output: String) throws -> [String: Any] {
        let run = try CleaveProcess.run(["status", output, "--json"])
        #expect(run.exitCode == 0, "\(run.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    }

    private func page(_ output: String) throws -> String { try String(contentsOfFile: output + "/cleave/report.html", encoding: .utf8) }

    private func events(_ path: String) throws -> [[String: Any]] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test func aRunThatGoesOnIsKilledAndIsFinished() throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let run = try CleaveProcess(SmallRun.arguments(output, longer), ranks: 2)
        try SmallRun.wait(for: run, in: output)
        // The ranks rest while they are looked at.
        let ranks = run.ranks
        for rank in ranks { kill(rank, SIGSTOP) }
        let committed = try SmallRun.committedTiles(output)
        let running = try status(output)
        #expect(running["state"] as? String == "running" && running["part"] as? String == "compress", "\(running)")
        #expect((running["tiles"] as? [String: Int]) == ["done": committed, "total": 256] && committed > 0, "\(running)")
        #expect((running["hosts"] as? [String: Int])?.values.reduce(0, +) == 2 && running["ranks"] as? Int == 2)
        #expect(running["tilesPerSecond"] as? Double ?? 0 > 0 && running["secondsLeft"] != nil && running["holder"] != nil && running["lastCommit"] != nil)
        let words = try CleaveProcess.run(["status", output])
        #expect(words.exitCode == 0 && words.output.contains("running, compressing") && words.output.contains("\(committed) of 256 tiles"), "\(words.output)")

        for rank in ranks { kill(rank, SIGKILL) }
        #expect(try run.wait().exitCode != 0)
        let killed = try status(output)
        #expect(killed["state"] as? String == "interrupted" && killed["holder"] == nil && killed["secondsLeft"] == nil, "\(killed)")
        #expect((killed["tiles"] as? [String: Int])?["done"] == committed)
        let made = try CleaveProcess.run(["report", output])
        #expect(made.exitCode == 0 && made.output == output + "/cleave/report.html\n", "\(made.errors)")
        let unfinished = try page(output)
        #expect(unfinished.contains("Unfinished: not running, and not finished") && unfinished.contains("of 256 tiles") && unfinished.contains("seed: 0"))

        #expect(try SmallRun.compress(output, longer, ranks: 1).exitCode == 0)
        let finished = try status(output)
        #expect(finished["state"] as? String == "finished" && finished["attempts"] as? Int == 2 && finished["exitCode"] as? Int == 0, "\(finished)")
        #expect((finished["tiles"] as? [String: Int]) == ["done": 256, "total": 256])
        let text = try page(output)
        #expect(text.contains("Finished and verified") && text.contains("Relative output error") && text.contains("Attempts") && !text.contains("Unfinished"))
        #expect(text.contains("<title>model.layers.3.mlp.down_proj: "))

        // Beside another result.
        let pruned = directory.path + "/pruned"
        let magnitude = ["compress.method=magnitude", "compress.sparsity=0.5", "compress.bits=null", "compress.group=null"]
        try #require(try SmallRun.compress(pruned, magnitude, ranks: nil).exitCode == 0)
        #expect(try CleaveProcess.run(["report", output, pruned]).exitCode == 64)
        let both = try CleaveProcess.run(["report", output, pruned, "--output", directory.path + "/both.html"])
        #expect(both.exitCode == 0, "\(both.errors)")
        #expect(try String(contentsOfFile: directory.path + "/both.html", encoding: .utf8).contains("Runs beside each other"))
    }

    /// An error is in the log, in the status and on the page; a later evaluation is on the page.
    @Test func failuresAndEvaluations() throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let library = try Fault.buildLibrary(in: directory)
        let fault = Fault(call: .write, path: "/journal/", number: 3, action: .error(ENOSPC), rank: 1)
        let failed = try SmallRun.compress(output, flags: ["--events", directory.path + "/events"], ranks: 2, environment: fault.environment(library))
        #expect(failed.exitCode == 73)
        let standing = try status(output)
        #expect(standing["state"] as? String == "failed" && standing["exitCode"] as? Int == 73, "\(standing)")
        #expect((standing["lastError"] as? String)?.contains("No space left on device") == true, "\(standing)")
        #expect(try page(output).contains("No space left on device"))
        let told = try events(directory.path + "/events")
        let kinds = told.compactMap { $0["event"] as? String }
        #expect(kinds.first == "run_begin" && kinds.suffix(2) == ["error", "run_end"], "\(kinds)")
        #expect(Set(["phase_begin", "stage_begin", "stage_end", "commit", "block_end"]).isSubset(of: kinds), "\(kinds)")
        #expect(told.last?["exitCode"] as? Int == 73)
        #expect(kinds == (try events(output + "/cleave/events.jsonl").compactMap { $0["event"] as? String }))

        #expect(try SmallRun.compress(output, flags: ["--no-merge"], ranks: 2).exitCode == 0)
        #expect(try status(output)["state"] as? String == "committed")
        #expect(try page(output).contains("Unfinished: all tiles are committed"))
        #expect(try CleaveProcess.run(["merge", output], ranks: 2).exitCode == 0)
        #expect(try status(output)["state"] as? String == "finished")
        let evaluation = ["eval", output, "--data", "Demo/evaluation.txt", "--length", "64", "--sequences", "2", "--reference", "Demo/wikillama", "--save"]
        let evaluated = try CleaveProcess.run(evaluation)
        #expect(evaluated.exitCode == 0, "\(evaluated.errors)")
        let text = try page(output)
        #expect(text.contains("Demo/evaluation.txt") && text.contains("from Demo/wikillama") && text.contains("times smaller"))
        #expect(try CleaveProcess.run(["verify", output]).exitCode == 0)
    }
}
