// Stopping in good order: by time, by file, by signal; what is solved is committed, and the next run goes on from there.

import Checkpoints
import Failures
import Foundation
import MessagePassing
import Reporting
import Runs
import Sharding
import TestWorld
import Testing
import TinyModels

extension RunsTests {
    @Suite(.serialized) struct Stopping {
        private func expectStop(_ words: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) {
            do {
                try body()
                Issue.record("the run did not stop", sourceLocation: sourceLocation)
            } catch {
                #expect(exitCode(for: error) == 75, "\(error)", sourceLocation: sourceLocation)
                #expect("\(error)".contains(words), "\(error)", sourceLocation: sourceLocation)
                #expect("\(error)".contains("Run the same command again to go on"), sourceLocation: sourceLocation)
            }
        }

        /// One stage a run: every run commits the next one, and nothing is solved twice.
        @Test(arguments: ["stage", "block", "none"])
        func aRunStopsAfterAStageAndTheNextGoesOn(propagation: String) throws {
            let (model, undisturbed) = (try TinyModel(), try TinyModel())
            let settings = ["propagation=\(propagation)"]
            try undisturbed.finish(settings)
            let total = try undisturbed.job(settings).plan.tileCount
            expectStop("after block 1/2, qkv: the time limit of 0.00 s") { try model.compress(settings, maxHours: 1e-9) }
            #expect(!model.exists("out/config.json"))
            let first = try #require(try model.compress(settings).resumption)
            #expect(first.contains("of \(total) tiles are committed (attempt 2)") && !first.contains(" 0 of") && !first.contains(" \(total) of"))
            let last = try model.compress(settings)
            #expect(last.tiles.solved == 0 && last.tiles.reused == total)
            try model.merge(settings)
            for name in ["model.safetensors", "config.json", "cleave_manifest.json"] {
                #expect(try model.read("out/" + name) == undisturbed.read("out/" + name))
            }
        }

        @Test func aFileAsksToStopOnce() throws {
            let model = try TinyModel()
            let job = try model.job()
            _ = try job.enter()
            try model.write("", "out/cleave/stop")
            let stop = StopConditions(world: TestWorld.world, start: .now, maxHours: nil, file: job.work.stopFile)
            expectStop("\(model.output)/cleave/stop asks for it") { _ = try job.compress(stop: stop, scratch: nil) { _ in } }
        }

        @Test func theFileOfAnEarlierRunIsForgotten() throws {
            let model = try TinyModel()
            try FileManager.default.createDirectory(atPath: model.output + "/cleave", withIntermediateDirectories: true)
            try model.write("", "out/cleave/stop")
            #expect(try model.compress().tiles.solved > 0)
        }

        @Test func aSignalAsksToStop() throws {
            let model = try TinyModel()
            StopConditions.listen()
            kill(getpid(), SIGUSR1)
            expectStop("signal SIGUSR1 came") { try model.compress() }
            StopConditions.listen()
            #expect(try model.compress().tiles.solved > 0)
        }

        /// Where nothing is left to solve, there is nothing to stop.
        @Test func aFinishedRunDoesNotStop() throws {
            let model = try TinyModel()
            try model.compress()
            #expect(try model.compress(maxHours: 1e-9).tiles.solved == 0)
        }
    }
}
