// Promise 3: whatever a SIGKILL interrupts, what was committed is kept and the result has the bytes of an undisturbed run.

import Foundation
import Testing

@Suite(.serialized) struct KillTests {
    /// Numbers that depend on the seed alone.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    /// Kills one of three ranks at random moments: before anything is committed, and after any number of tiles.
    @Test func aRankIsKilledAtAnyMoment() throws {
        let directory = try TemporaryDirectory()
        try #require(try SmallRun.compress(directory.path + "/whole", ranks: 3).exitCode == 0)
        let reference = try SmallRun.files(directory.path + "/whole")
        var generator = Generator(state: 2026)
        var (interrupted, reusedTiles) = (0, 0)
        for attempt in 0..<20 {
            let output = directory.path + "/\(attempt)"
            let tiles = attempt < 5 ? 0 : Int.random(in: 1...224, using: &generator)
            let seconds = Double.random(in: 0...(tiles == 0 ? 0.5 : 0.05), using: &generator)
            let victim = Int.random(in: 0..<3, using: &generator)
            let run = try CleaveProcess(SmallRun.arguments(output), ranks: 3)
            try SmallRun.wait(for: run, toCommit: tiles, in: output)
            Thread.sleep(forTimeInterval: seconds)
            let ranks = run.ranks
            if victim < ranks.count { kill(ranks[victim], SIGKILL) }
            if try run.wait().exitCode != 0 { interrupted += 1 }
            reusedTiles += try expectResumed(
                output, reference, ranks: Int.random(in: 1...4, using: &generator), "killed rank \(victim) \(seconds) s after \(tiles) tiles")
        }
        #expect(interrupted > 10 && reusedTiles > 0, "\(interrupted) of 20 runs were interrupted, \(reusedTiles) tiles reused")
    }

    /// Kills a rank inside a system call: while a file is half written, before it is durable, before it has its name.
    @Test func aRankIsKilledInTheMiddleOfACommit() throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        try #require(try SmallRun.compress(directory.path + "/whole", ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(directory.path + "/whole")
        let places: [(Fault.Call, String, Int)] = [
            (.write, "/partial/", 3), (.fsync, "/partial/", 5), (.rename, "/partial/", 2), (.write, "/journal/", 1), (.write, "/journal/", 6),
            (.fsync, "/journal/", 4),
            (.write, "/model-", 1), (.rename, "/model-", 1), (.write, "cleave_manifest", 1), (.rename, "cleave_manifest", 1), (.rename, "config.json", 1),
            (.write, "run.json", 1),
        ]
        for (index, (call, path, number)) in places.enumerated() {
            let output = directory.path + "/\(index)"
            // What the coordinator alone writes is killed there, the rest on the other rank.
            let ofCoordinator = ["cleave_manifest", "config.json", "run.json"].contains(path)
            let fault = Fault(call: call, path: path, number: number, action: .kill, rank: ofCoordinator ? 0 : 1)
            let run = try SmallRun.compress(output, ranks: 2, environment: fault.environment(library))
            #expect(run.exitCode != 0, "\(fault) was not reached")
            #expect(!FileManager.default.fileExists(atPath: output + "/config.json"))
            _ = try expectResumed(output, reference, ranks: 1 + index % 3, "killed at \(fault)")
        }
    }

    /// Runs the command again: it reuses every committed tile, and the result is the undisturbed one.
    /// - Returns: the tiles that were reused.
    private func expectResumed(_ output: String, _ reference: [String: Data], ranks: Int, _ what: String) throws -> Int {
        let isFinished = FileManager.default.fileExists(atPath: output + "/config.json")
        let committed = try SmallRun.committedTiles(output)
        let resumed = try SmallRun.compress(output, ranks: ranks)
        #expect(resumed.exitCode == 0, "\(what): \(resumed.errors)")
        try SmallRun.expectEqual(output, reference, what)
        if isFinished {
            #expect(resumed.output.contains("nothing to do"), "\(what)")
            return 0
        }
        let tiles = try SmallRun.tiles(output)
        #expect(tiles.reused == committed && tiles.solved + tiles.reused == 256, "\(what): \(committed) tiles were committed, \(tiles)")
        // What killed runs leave half written goes with the next one.
        let names = FileManager.default.enumerator(atPath: output)?.compactMap { $0 as? String } ?? []
        #expect(names.allSatisfy { !$0.contains(".tmp-") }, "\(what): \(names)")
        return tiles.reused
    }
}
