// A small but whole compression of the demo model, and what can be asked of its output directory.

import Foundation
import Testing

enum SmallRun {
    /// The arguments of such a run.
    static func arguments(_ output: String, _ settings: [String] = [], flags: [String] = []) -> [String] {
        let small = ["calibration.sequences=12", "calibration.length=96", "calibration.batch=2", "evaluation=null", "max_shard_size=2MB"]
        return ["compress", "Configs/demo.yaml", "--output", output] + (small + settings).flatMap { ["--set", $0] } + flags
    }

    static func compress(
        _ output: String, _ settings: [String] = [], flags: [String] = [], ranks: Int?, threads: Int = 1, environment: [String] = []
    ) throws -> CleaveRun {
        try CleaveProcess.run(arguments(output, settings, flags: flags), ranks: ranks, threads: threads, environment: environment)
    }

    /// The result's files by name; the work directory, whose report holds times, is no part of the result.
    static func files(_ directory: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0 != "cleave" }
        return Dictionary(uniqueKeysWithValues: try names.map { ($0, try Data(contentsOf: URL(fileURLWithPath: directory + "/" + $0))) })
    }

    /// Checks that a directory holds the files of `reference`, byte for byte, and no other.
    ///
    /// - Parameter butFor: a file that is left out of account.
    static func expectEqual(
        _ directory: String, _ reference: [String: Data], _ what: String, butFor: String? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let files = try files(directory).filter { $0.key != butFor }
        #expect(files.keys.sorted() == reference.keys.sorted(), "\(what): other files", sourceLocation: sourceLocation)
        for (name, bytes) in reference { #expect(files[name] == bytes, "\(what): \(name) differs", sourceLocation: sourceLocation) }
    }

    /// Compresses on 1 rank into the directory's "1", and on 2 and 3 ranks to the same bytes; the result is sound.
    static func expectSameOnRanks(_ directory: TemporaryDirectory, _ settings: [String]) throws {
        let first = try compress(directory.path + "/1", settings, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        let reference = try files(directory.path + "/1")
        for ranks in [2, 3] {
            let run = try compress(directory.path + "/\(ranks)", settings, ranks: ranks)
            try #require(run.exitCode == 0, "\(run.errors)")
            try expectEqual(directory.path + "/\(ranks)", reference, "\(ranks) ranks")
        }
        let verified = try CleaveProcess.run(["verify", directory.path + "/1"])
        #expect(verified.exitCode == 0 && verified.output.contains("is sound"), "\(verified.errors)")
    }

    /// The tiles that report.json counts.
    static func tiles(_ directory: String) throws -> (solved: Int, reused: Int) {
        let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: directory + "/cleave/report.json"))) as? [String: Any]
        let tiles = try #require(report?["tiles"] as? [String: Int])
        return (try #require(tiles["solved"]), try #require(tiles["reused"]))
    }

    /// Waits until a run has committed so many tiles, or has ended.
    ///
    /// Tests name a moment of a run by its progress: how long a run takes is not known on a busy machine.
    static func wait(for run: CleaveProcess, toCommit tiles: Int = 1, in output: String) throws {
        while run.isRunning, try committedTiles(output) < tiles { Thread.sleep(forTimeInterval: 0.005) }
    }

    /// The tiles that whole lines of the journals name; their partial checkpoints were complete before the lines were.
    static func committedTiles(_ directory: String) throws -> Int {
        let journals = directory + "/cleave/journal"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: journals)) ?? []
        return try names.reduce(0) { sum, name in
            let text = try String(contentsOfFile: journals + "/" + name, encoding: .utf8)
            return text.split(separator: "\n").reduce(sum) { sum, line in
                let entry = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
                let runs = entry?["tiles"] as? [[String: Int]] ?? []
                return runs.reduce(sum) { $0 + ($1["count"] ?? 0) }
            }
        }
    }
}
