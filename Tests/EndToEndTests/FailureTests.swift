// Every way in which a run can end with an error is told in its log, where a program follows it, and by `cleave status`.

import Foundation
import Testing

@Suite(.serialized) struct FailureTests {
    /// Long enough to be met in its middle.
    private let longer = ["calibration.sequences=32", "calibration.length=256", "evaluation=null"]

    private struct Event: Decodable {
        var event: String
        var time: String
        var exitCode: Int?
        var message: String?
    }

    private func events(_ path: String) throws -> [Event] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { try JSONDecoder().decode(Event.self, from: Data($0.utf8)) }
    }

    /// The log has one error, and the end of the attempt; until they are ended, other ranks may write on.
    private func expectError(_ path: String, _ code: Int, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let events = try events(path).filter { ["error", "run_end"].contains($0.event) }
        #expect(events.map(\.event) == ["error", "run_end"] && events.allSatisfy { $0.exitCode == code }, "\(path): \(events)", sourceLocation: sourceLocation)
        #expect(events.first?.message?.contains(words) == true, "\(path): \(events)", sourceLocation: sourceLocation)
    }

    private func status(_ output: String) throws -> [String: Any] {
        let run = try CleaveProcess.run(["status", output, "--json"])
        #expect(run.exitCode == 0, "\(run.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    }

    private func expectStatus(_ output: String, _ code: Int, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let status = try status(output)
        #expect(
            status["state"] as? String == "failed" && status["exitCode"] as? Int == code && (status["lastError"] as? String)?.contains(words) == true,
            "\(status)", sourceLocation: sourceLocation)
        #expect((status["ranks"] as? Int ?? 0) > 0 && status["planHash"] != nil, "\(status)", sourceLocation: sourceLocation)
    }

    /// Memory that the system refuses, of the first rank and of another.
    @Test(arguments: [0, 1]) func memoryIsRefused(rank: Int) throws {
        let directory = try TemporaryDirectory()
        let (output, followed) = (directory.path + "/out", directory.path + "/events")
        let library = try Fault.buildLibrary(in: directory)
        let fault = Fault(call: .memory, path: "anonymous", number: 4, action: .error(ENOMEM), rank: rank)
        let refused = try SmallRun.compress(output, flags: ["--events", followed], ranks: 2, environment: fault.environment(library))
        #expect(refused.exitCode == 71, "\(refused.errors)")
        for words in ["rank \(rank) on ", " bytes of memory: Cannot allocate memory"] {
            for log in [output + "/cleave/events.jsonl", followed] { try expectError(log, 71, words) }
            try expectStatus(output, 71, words)
        }
    }

    /// Signals: what the kernel says of a mapped file that has become shorter, and crashes, of the first rank and of another.
    @Test(arguments: [(SIGBUS, 0), (SIGBUS, 1), (SIGSEGV, 1), (SIGABRT, 0)])
    func signalsEndARank(signal: Int32, rank: Int) throws {
        let directory = try TemporaryDirectory()
        let (output, followed) = (directory.path + "/out", directory.path + "/events")
        let run = try CleaveProcess(SmallRun.arguments(output, longer, flags: ["--events", followed]), ranks: 2, environment: ["SWIFT_BACKTRACE=enable=no"])
        try SmallRun.wait(for: run, in: output)
        let ranks = run.ranks
        try #require(ranks.count == 2)
        kill(ranks[rank], signal)
        let code = signal == SIGBUS ? 74 : 128 + Int(signal)
        let words = signal == SIGBUS ? "a file that was mapped into memory could not be read" : "the process crashed"
        let ended = try run.wait()
        #expect(ended.exitCode == Int32(code) && (signal != SIGBUS || ended.errors.contains("cleave: \(words)")), "\(ended.exitCode) \(ended.errors)")
        for log in [output + "/cleave/events.jsonl", followed] { try expectError(log, code, words) }
        try expectStatus(output, code, words)
    }

    /// What is found before the work begins.
    @Test func refusalsBeforeTheWork() throws {
        let directory = try TemporaryDirectory()
        let (output, followed) = (directory.path + "/out", directory.path + "/events")
        func refused(_ settings: [String], flags: [String] = [], ranks: Int?, code: Int32) throws {
            try? FileManager.default.removeItem(atPath: followed)
            let run = try SmallRun.compress(output, settings, flags: flags + ["--events", followed], ranks: ranks)
            #expect(run.exitCode == code, "\(run.errors)")
        }
        for ranks in [nil, 2] {
            // Before there is a directory, only the program that follows can hear of it.
            try refused(["compress.bit=3"], ranks: ranks, code: 65)
            try expectError(followed, 65, "nearest valid key is `bits`")
            #expect(!FileManager.default.fileExists(atPath: output))
            try refused([], flags: ["--memory-per-rank", "1MiB"], ranks: ranks, code: 65)
            for log in [output + "/cleave/events.jsonl", followed] { try expectError(log, 65, "what would fit") }
            try expectStatus(output, 65, "what would fit")
            try FileManager.default.removeItem(atPath: output)
        }
        try refused(["evaluation={source: no-such.txt, length: 64}"], ranks: 2, code: 66)
        for log in [output + "/cleave/events.jsonl", followed] { try expectError(log, 66, "no-such.txt") }
        try expectStatus(output, 66, "no-such.txt")
        try FileManager.default.removeItem(atPath: output)
        // A command that is refused leaves the log of the run that stands there alone.
        #expect(try SmallRun.compress(output, flags: ["--no-merge"], ranks: 1).exitCode == 0)
        try refused(["compress.bits=3"], ranks: nil, code: 65)
        try expectError(followed, 65, "unfinished run of another plan")
        #expect(try status(output)["state"] as? String == "committed")
    }
}
