// The log of a run: what is written is read again, also of a run that was killed while it wrote.

import Foundation
import Reporting
import Testing

@Suite struct RunHistoryTests {
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString)").path

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        var log: Data { FileManager.default.contents(atPath: path + "/log") ?? Data() }
    }

    private func begin(_ log: RunLog, hosts: [String: Int] = ["a": 2]) {
        log.write(.runBegin) { $0.attempt = AttemptReport(cleave: "1", model: "m", planHash: "ff", hosts: hosts, threads: 3, memory: nil) }
    }

    private func linear(_ name: String, loss: Double) -> LinearReport {
        var linear = LinearReport(name: name, method: "gptq", bits: 4, group: 64, columns: 256)
        linear.loss = loss
        return linear
    }

    @Test func twoAttempts() throws {
        let folder = try Folder()
        let first = try RunLog([folder.path + "/log", folder.path + "/copy"])
        begin(first)
        let progress = Progress(tiles: 8, blocks: 2, committed: 0, work: [.solving(stage: "q"): 8], log: first)
        progress.begin(block: 0, stage: "q")
        progress.did(.solving(stage: "q"), work: 4)
        progress.advance(block: 0, stage: "q", solved: 4, reused: 0)
        progress.commit(block: 0)
        progress.finish(block: 0, summary: "", linears: [linear("q", loss: 1), linear("k", loss: 2)], mixture: nil)
        first.write(.error) { ($0.message, $0.exitCode) = ("no disk", 73) }
        first.write(.runEnd) { $0.exitCode = 73 }
        #expect(FileManager.default.contents(atPath: folder.path + "/copy") == folder.log)
        let second = try RunLog([folder.path + "/log"])
        begin(second, hosts: ["a": 1, "b": 4])
        let again = Progress(tiles: 8, blocks: 2, committed: 4, work: [.solving(stage: "down"): 4], log: second)
        again.begin(block: 1, stage: "down")
        again.did(.solving(stage: "down"), work: 3)
        again.advance(block: 1, stage: "down", solved: 3, reused: 1)
        again.finish(block: 1, summary: "", linears: [linear("k", loss: 3)], mixture: nil)

        let history = RunHistory(log: folder.log)
        #expect(history.attempts.count == 2 && history.linears.map(\.name) == ["q", "k"] && history.linears.map(\.loss) == [1, 3])
        let (ended, open) = (history.attempts[0], history.attempts[1])
        #expect(ended.exitCode == 73 && ended.error == "no disk" && ended.solved == 4 && ended.lastCommit != nil && ended.report.ranks == 2)
        #expect(open.exitCode == nil && open.committedBefore == 4 && open.solved == 3 && open.block == 1 && open.stage == "down" && open.report.ranks == 5)
        #expect(open.part == .compress && open.began <= open.lastEvent && open.lastSolved != nil && open.left != nil)
        // Seconds of a stage are told with it.
        let lines = folder.log.split(separator: UInt8(ascii: "\n")).compactMap(RunEvent.init(line:))
        #expect(lines.filter { $0.event == .stageEnd }.allSatisfy { ($0.seconds ?? -1) >= 0 })
    }

    /// What a killed run leaves of its last line stands alone; the next line is whole.
    @Test func aLineThatWasCutOff() throws {
        let folder = try Folder()
        begin(try RunLog([folder.path + "/log"]))
        let whole = folder.log
        for length in [1, whole.count / 2, whole.count - 1] {
            try (whole + whole.prefix(length)).write(to: URL(fileURLWithPath: folder.path + "/log"))
            #expect(RunHistory(log: folder.log).attempts.count == (length == whole.count - 1 ? 2 : 1))
            begin(try RunLog([folder.path + "/log"]))
            #expect(RunHistory(log: folder.log).attempts.count == (length == whole.count - 1 ? 3 : 2))
        }
    }

    @Test(arguments: ["", "\n\n", "no JSON\n", "{}\n{\"event\":\"unheard_of\",\"time\":\"2026-01-01T00:00:00.000Z\"}\n", "\u{0}"])
    func aLogOfNothing(text: String) {
        let history = RunHistory(log: Data(text.utf8))
        #expect(history.attempts.isEmpty && history.linears.isEmpty)
    }

    @Test func aPlaceThatCannotBeWrittenIsNamed() throws {
        let error = #expect(throws: RunLogError.self) { try RunLog(["/no-such-folder/log"]) }
        #expect("\(try #require(error))" == "cannot write events to /no-such-folder/log: No such file or directory")
    }

    /// Neither a pipe that nobody reads nor a reader that has gone holds a run up or ends it.
    @Test func pipes() throws {
        let folder = try Folder()
        let pipe = folder.path + "/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        #expect(throws: RunLogError.self) { try RunLog([pipe]) }
        let reader = open(pipe, O_RDONLY | O_NONBLOCK)
        let log = try RunLog([folder.path + "/log", pipe])
        begin(log)
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(reader, &bytes, bytes.count)
        #expect(count > 0 && Data(bytes.prefix(max(count, 0))) == folder.log)
        close(reader)
        begin(log)
        begin(log)
        #expect(RunHistory(log: folder.log).attempts.count == 3)
    }

    @Test func statusInWords() {
        var status = StatusReport(state: .running, output: "out")
        (status.part, status.tiles, status.uncommittedTiles) = (.compress, .init(done: 3, total: 9), 2)
        (status.tilesPerSecond, status.secondsLeft, status.ranks, status.hosts) = (0.5, 8, 3, ["b": 1, "a": 2])
        (status.lastCommit, status.lastError, status.exitCode) = (Date(timeIntervalSince1970: 60), "no disk", 73)
        #expect(
            status.text(now: Date(timeIntervalSince1970: 70)) == """
                out: running, compressing
                committed    3 of 9 tiles, 2 more solved
                rate         0.50 tiles/s, 8.00 s left
                ranks        3 on a (2), b (1)
                last commit  1970-01-01T00:01:00Z (10.0 s ago)
                error        no disk (exit code 73)

                """)
    }
}
