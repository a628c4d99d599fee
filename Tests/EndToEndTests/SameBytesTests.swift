// Promise 1: the result has the same bytes for any number of ranks and threads, and any history.

import Foundation
import Testing

/// A small but whole compression of the demo model.
private func compress(_ output: String, _ settings: [String] = [], flags: [String] = [], ranks: Int?, threads: Int = 1) throws -> CleaveRun {
    let small = ["calibration.sequences=12", "calibration.length=96", "calibration.batch=2", "evaluation=null", "max_shard_size=2MB"]
    return try CleaveProcess.run(
        ["compress", "Configs/demo.yaml", "--output", output] + (small + settings).flatMap { ["--set", $0] } + flags, ranks: ranks, threads: threads)
}

private func expectEqual(_ files: [String: Data], _ reference: [String: Data], _ what: String) {
    #expect(files.keys.sorted() == reference.keys.sorted(), "\(what): other files")
    for (name, bytes) in reference { #expect(files[name] == bytes, "\(what): \(name) differs") }
}

@Suite(.serialized) struct SameBytesTests {
    @Test(arguments: [
        [], ["compute=f32"], ["propagation=block", "compress.symmetric=false"], ["compress.act_order=false", "compress.static_groups=false"],
        ["compress.method=rtn", "compress.grid=minmax"],
    ])
    func anyNumberOfRanksAndThreads(settings: [String]) throws {
        let directory = try TemporaryDirectory()
        let first = try compress(directory.path + "/1", settings, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        let reference = try resultFiles(directory.path + "/1")
        #expect(reference.keys.contains("model.safetensors.index.json"))
        for ranks in [2, 3, 4] {
            let run = try compress(directory.path + "/\(ranks)", settings, ranks: ranks)
            try #require(run.exitCode == 0, "\(run.errors)")
            expectEqual(try resultFiles(directory.path + "/\(ranks)"), reference, "\(ranks) ranks")
        }
        let run = try compress(directory.path + "/threads", settings, flags: ["--weights", "pread"], ranks: nil, threads: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        expectEqual(try resultFiles(directory.path + "/threads"), reference, "2 threads, pread")
    }

    @Test func mergeByItselfAndRunningAgain() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", parts = directory.path + "/parts"
        try #require(try compress(whole, ranks: 2).exitCode == 0)
        let unmerged = try compress(parts, flags: ["--no-merge"], ranks: 2)
        try #require(unmerged.exitCode == 0, "\(unmerged.errors)")
        #expect(!FileManager.default.fileExists(atPath: parts + "/config.json"))
        let merged = try CleaveProcess.run(["merge", parts], ranks: 3)
        try #require(merged.exitCode == 0, "\(merged.errors)")
        expectEqual(try resultFiles(parts), try resultFiles(whole), "merged by itself")
        let again = try compress(whole, ranks: 2)
        #expect(again.exitCode == 0)
        #expect(again.output.contains("nothing to do"))
    }

    @Test func aRunThatLostTilesSolvesThoseAlone() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", broken = directory.path + "/broken"
        try #require(try compress(whole, ranks: 2).exitCode == 0)
        try #require(try compress(broken, flags: ["--no-merge"], ranks: 2).exitCode == 0)
        // One partial checkpoint is lost, another damaged: only their tiles are solved again.
        let partial = broken + "/cleave/partial"
        try FileManager.default.removeItem(atPath: partial + "/block-3.attempt-1.rank-1.safetensors")
        let damaged = URL(fileURLWithPath: partial + "/block-5.attempt-1.rank-0.safetensors")
        var bytes = try Data(contentsOf: damaged)
        bytes[bytes.count - 100] ^= 1
        try bytes.write(to: damaged)
        let resumed = try compress(broken, ranks: 3)
        try #require(resumed.exitCode == 0, "\(resumed.errors)")
        #expect(resumed.errors.contains("block-5.attempt-1.rank-0.safetensors"))
        expectEqual(try resultFiles(broken), try resultFiles(whole), "resumed")
        let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: broken + "/cleave/report.json"))) as? [String: Any]
        let tiles = report?["tiles"] as? [String: Int]
        #expect((tiles?["reused"] ?? 0) > (tiles?["solved"] ?? 0))
        #expect((tiles?["solved"] ?? 0) > 0)
    }

    @Test func anotherPlanIsRefused() throws {
        let directory = try TemporaryDirectory()
        try #require(try compress(directory.path + "/out", flags: ["--no-merge"], ranks: 2).exitCode == 0)
        let other = try compress(directory.path + "/out", ["compress.bits=8"], ranks: 2)
        #expect(other.exitCode == 65)
        #expect(other.errors.contains("another plan"))
    }
}
