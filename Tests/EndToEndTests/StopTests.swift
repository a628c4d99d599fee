// Signals that ask a run to stop, sent to mpirun as a scheduler does.

import Foundation
import Testing

@Suite(.serialized) struct StopTests {
    /// Longer than a small run, so that a signal comes in its middle: mpirun leaves the ranks a whole second after SIGTERM.
    ///
    /// The demo's text stands in it several times, as one is too short.
    private func longer(in directory: TemporaryDirectory) throws -> [String] {
        let text = try String(contentsOfFile: CleaveProcess.root + "/Demo/calibration.txt", encoding: .utf8)
        let source = directory.path + "/calibration.txt"
        try String(repeating: text, count: 8).write(toFile: source, atomically: true, encoding: .utf8)
        return ["calibration.source=\(source)", "calibration.sequences=256", "calibration.length=256"]
    }

    /// Waits until something is committed, then sends a signal to mpirun.
    private func interrupt(_ output: String, _ settings: [String], with signal: Int32) throws -> CleaveRun {
        let run = try CleaveProcess(SmallRun.arguments(output, settings), ranks: 2)
        try SmallRun.wait(for: run, in: output)
        kill(run.identifier, signal)
        return try run.wait()
    }

    @Test func signalsStopARunAndTheNextGoesOn() throws {
        let directory = try TemporaryDirectory()
        let longer = try longer(in: directory)
        try #require(try SmallRun.compress(directory.path + "/whole", longer, ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(directory.path + "/whole")
        for (signal, exitCodes) in [(SIGUSR1, [Int32(75)]), (SIGTERM, [143, 1, 15])] {
            let output = directory.path + "/\(signal)"
            let stopped = try interrupt(output, longer, with: signal)
            #expect(exitCodes.contains(stopped.exitCode), "\(stopped.exitCode) \(stopped.errors)")
            if signal == SIGUSR1 { #expect(stopped.errors.components(separatedBy: "signal SIGUSR1 came").count == 2, "\(stopped.errors)") }
            #expect(!FileManager.default.fileExists(atPath: output + "/config.json"))
            let committed = try SmallRun.committedTiles(output)
            let resumed = try SmallRun.compress(output, longer, ranks: 3)
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(try SmallRun.tiles(output).reused == committed && committed > 0)
            try SmallRun.expectEqual(output, reference, "signal \(signal)")
        }
    }

    @Test func twoRunsInOneDirectory() throws {
        let directory = try TemporaryDirectory()
        let longer = try longer(in: directory)
        let output = directory.path + "/out"
        let first = try CleaveProcess(SmallRun.arguments(output, longer), ranks: 2)
        try SmallRun.wait(for: first, in: output)
        let second = try SmallRun.compress(output, longer, ranks: 2)
        #expect(second.exitCode == 73)
        #expect(second.errors.components(separatedBy: "another run is working in").count == 2, "\(second.errors)")
        #expect(try first.wait().exitCode == 0)
    }
}
