// The log of a failure: its lines are those that `RunLog` would have written, whatever the message.

import Foundation
import Reporting
import Testing

@Suite(.serialized) struct FailureLogTests {
    private let path = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString)").path

    private func begin() {
        var event = RunEvent(.runBegin)
        event.attempt = AttemptReport(cleave: "1", model: "m", planHash: "ff", hosts: ["a": 2], threads: 3, memory: nil)
        FailureLog.enter(path, event)
    }

    private var text: String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
    private var events: [RunEvent] { text.split(separator: "\n").compactMap { RunEvent(line: Data($0.utf8)) } }

    @Test(arguments: ["no disk", "a \"quoted\" \\ path\n  and\ta line \u{1}\u{1f}\u{7f}", "Überlänge \u{1F469}\u{200D}\u{1F680} 漢字", ""])
    func lines(message: String) throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        begin()
        FailureLog.say(message, exitCode: 73)
        FailureLog.say("what follows from it", exitCode: 70)
        #expect(events.map(\.event) == [.runBegin, .error, .runEnd])
        let error = try #require(events.dropFirst().first)
        #expect(error.message == message && error.exitCode == 73 && abs(error.time.timeIntervalSinceNow) < 5)
        #expect(events.last?.exitCode == 73 && events.last?.seconds != nil)
        let history = RunHistory(log: Data(text.utf8))
        #expect(history.attempts.count == 1 && history.attempts[0].exitCode == 73 && history.attempts[0].error == message)
    }

    /// An attempt that has begun is not begun again, and a line that was cut off stands alone.
    @Test func afterALineThatWasCutOff() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("{\"event\":".utf8).write(to: URL(fileURLWithPath: path))
        begin()
        FailureLog.begin()
        FailureLog.say("no disk", exitCode: 73)
        #expect(text.hasPrefix("{\"event\":\n{\"event\":\"error\"") && events.map(\.event) == [.error, .runEnd])
    }

    @Test func aMessageWithoutEnd() {
        defer { try? FileManager.default.removeItem(atPath: path) }
        begin()
        let message = String(repeating: "ü\"\u{1}", count: 100_000)
        FailureLog.say(message, exitCode: 65)
        let found = events.first { $0.event == .error }?.message ?? ""
        #expect(found.utf8.count > 8000 && message.hasPrefix(found) && events.last?.event == .runEnd)
    }

    @Test func dates() {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        for days in 0..<60_000 {
            let date = calendar.dateComponents([.year, .month, .day], from: Date(timeIntervalSince1970: Double(days) * 86400))
            let found = civilDate(days: days)
            #expect(found.year == date.year && found.month == date.month && found.day == date.day)
            guard found.year == date.year else { return }
        }
    }
}
