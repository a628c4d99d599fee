// What the log of a run says of it, event by event.

public import Foundation

/// An event of a run: one line of JSON, without the keys that it has no use for.
public struct RunEvent: Codable, Sendable {
    public enum Kind: String, Codable, Sendable {
        /// An attempt begins: `attempt`.
        case runBegin = "run_begin"
        /// A part of it begins: `phase`, and for `compress` the tiles that are `reused`.
        case phaseBegin = "phase_begin"
        case stageBegin = "stage_begin"
        /// Tiles `solved` and `reused`, the `seconds` since the event before, and `secondsLeft` until all tiles are solved.
        case stageEnd = "stage_end"
        /// What was solved of a block is durable.
        case commit
        /// A block is done: its `linears`, its `mixture` if it has experts, and `secondsLeft`.
        case blockEnd = "block_end"
        /// `message`, `exitCode`.
        case error
        /// An attempt ends in good order or with an error: `exitCode`, `seconds`.
        case runEnd = "run_end"
    }

    /// The parts of an attempt.
    public enum Part: String, Codable, Sendable {
        case losses, compress, merge, verify, evaluate

        /// As a run that does it is described.
        var words: String {
            switch self {
            case .losses: "measuring losses"
            case .compress: "compressing"
            case .merge: "merging"
            case .verify: "verifying"
            case .evaluate: "evaluating"
            }
        }
    }

    public var event: Kind
    /// UTC.
    public var time: Date
    public var attempt: AttemptReport?
    public var phase: Part?
    /// From 0.
    public var block: Int?
    public var stage: String?
    public var solved: Int?
    public var reused: Int?
    public var seconds: Double?
    /// An estimate; nil where nothing is known of the rate.
    public var secondsLeft: Double?
    public var linears: [LinearReport]?
    public var mixture: MixtureReport?
    public var message: String?
    public var exitCode: Int32?

    public init(_ event: Kind, time: Date = .now) {
        self.event = event
        self.time = time
    }

    // MARK: - Lines

    /// Its line, with the line's end.
    public func line() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(date.formatted(timeFormat))
        }
        return [UInt8](try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }

    /// The event of a line; nil when it is cut off or none.
    public init?(line: some DataProtocol) {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in try timeFormat.parse(decoder.singleValueContainer().decode(String.self)) }
        guard let event = try? decoder.decode(RunEvent.self, from: Data(line)) else { return nil }
        self = event
    }
}

private let timeFormat = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

/// What an attempt has before it: where it runs and what is to be done.
public struct AttemptReport: Codable, Sendable, Equatable {
    public var cleave: String
    public var model: String
    public var planHash: String
    /// Ranks by host.
    public var hosts: [String: Int]
    /// Of each rank.
    public var threads: Int
    /// nil where none was planned, as for a merge.
    public var memory: MemoryReport?
    /// Of the whole run; nil in logs of earlier versions.
    public var tiles: Int?

    public var ranks: Int { hosts.values.reduce(0, +) }

    public init(cleave: String, model: String, planHash: String, hosts: [String: Int], threads: Int, memory: MemoryReport?, tiles: Int? = nil) {
        self.cleave = cleave
        self.model = model
        self.planHash = planHash
        self.hosts = hosts
        self.threads = threads
        self.memory = memory
        self.tiles = tiles
    }
}
