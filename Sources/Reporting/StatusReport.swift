// How a run stands: what `cleave status` says.

public import Foundation

/// A run that goes on, has ended, or was ended.
public struct StatusReport: Codable, Sendable, Equatable {
    public enum State: String, Codable, Sendable {
        /// A process holds the lock of the output directory.
        case running
        /// The result is there.
        case finished
        /// All tiles are committed, and `cleave merge` was not asked for yet.
        case committed
        /// Ended in good order before its end, to go on later.
        case stopped
        /// Ended with an error.
        case failed
        /// Ended without a word: it was killed, or its host was lost.
        case interrupted
    }

    /// How many of how many.
    public struct Count: Codable, Sendable, Equatable {
        public var done: Int
        public var total: Int

        public init(done: Int, total: Int) {
            self.done = done
            self.total = total
        }
    }

    /// Where a run is at work.
    public struct Place: Codable, Sendable, Equatable {
        /// From 1.
        public var block: Int
        public var blocks: Int
        public var stage: String

        public init(block: Int, blocks: Int, stage: String) {
            self.block = block
            self.blocks = blocks
            self.stage = stage
        }
    }

    public var state: State
    public var output: String
    public var model: String?
    public var cleave: String?
    public var planHash: String?
    /// What is done now, or was done last.
    public var part: RunEvent.Part?
    public var place: Place?
    /// Committed: they are never computed again.
    public var tiles: Count?
    /// Those whose tiles are all committed.
    public var stages: Count?
    public var linears: Count?
    /// Tiles that are solved and wait for their block's commit.
    public var uncommittedTiles: Int?
    /// Of the last attempt, since it began to compress.
    public var tilesPerSecond: Double?
    /// Until all tiles are solved, as the run expects it; nil when nothing runs, or no rate is known.
    public var secondsLeft: Double?
    public var attempts = 0
    public var ranks: Int?
    /// Ranks by host.
    public var hosts: [String: Int] = [:]
    /// Who holds the lock.
    public var holder: String?
    public var began: Date?
    public var lastEvent: Date?
    public var lastCommit: Date?
    public var lastError: String?
    /// Of the last attempt, when it has ended.
    public var exitCode: Int32?

    public init(state: State, output: String) {
        self.state = state
        self.output = output
    }
}

extension StatusReport {
    /// In words, a line for each matter.
    ///
    /// - Parameter now: the time to which others are compared.
    public func text(now: Date = .now) -> String {
        var lines = ["\(output): \(headline)"]
        func add(_ name: String, _ text: String?) {
            if let text { lines.append(name.padding(toLength: 13, withPad: " ", startingAt: 0) + text) }
        }
        func ago(_ date: Date?) -> String? { date.map { "\($0.formatted(.iso8601)) (\(formatSeconds(max(now.timeIntervalSince($0), 0))) ago)" } }
        add("model", model)
        add("plan", planHash.map { plan in "\(plan)\(cleave.map { ", Cleave \($0)" } ?? "")" })
        let uncommitted = (uncommittedTiles ?? 0) > 0 ? ", \(uncommittedTiles ?? 0) more solved" : ""
        add("committed", tiles.map { "\(words($0)) tiles\(uncommitted)" })
        add("", stages.map { stages in "\(words(stages)) stages\(linears.map { ", \(words($0)) linears" } ?? "")" })
        add("place", place.map { "block \($0.block)/\($0.blocks), \($0.stage)" })
        add("rate", tilesPerSecond.map { rate in "\(format(rate, digits: 2)) tiles/s\(secondsLeft.map { ", \(formatSeconds($0)) left" } ?? "")" })
        add("ranks", ranks.map { "\($0) on \(hosts.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value))" }.joined(separator: ", "))" })
        add("attempts", attempts > 0 ? "\(attempts)" : nil)
        add("began", ago(began))
        add("last sign", ago(lastEvent))
        add("last commit", ago(lastCommit))
        add("lock", holder.map { "held by \($0)" })
        add(state == .stopped ? "reason" : "error", lastError.map { error in "\(error)\(exitCode.map { " (exit code \($0))" } ?? "")" })
        return lines.joined(separator: "\n") + "\n"
    }

    /// The state in a few words.
    public var headline: String {
        switch state {
        case .running: "running" + (part.map { ", \($0.words)" } ?? "")
        case .finished: "finished"
        case .committed: "all tiles are committed; `cleave merge` assembles the checkpoint"
        case .stopped: "stopped in good order; the same command goes on"
        case .failed: "failed; the same command goes on when the cause is mended"
        case .interrupted: "not running, and not finished: killed, or its host was lost; the same command goes on"
        }
    }

    private func words(_ count: Count) -> String { "\(count.done) of \(count.total)" }
}
