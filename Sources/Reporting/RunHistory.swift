// What the log of a run tells of its attempts, also while it is being written.

public import Foundation

/// The attempts of a run and what they found, by its log.
public struct RunHistory: Sendable {
    /// One process's work on the run, from its beginning to its end or to where the log breaks off.
    public struct Attempt: Sendable {
        public var report: AttemptReport
        public var began: Date
        /// When it last said something.
        public var lastEvent: Date
        public var lastCommit: Date?
        /// What it does, or did last.
        public var part: RunEvent.Part?
        /// Where it is, or was last.
        public var block: Int?
        public var stage: String?
        /// When it began to compress, and the tiles that were committed by then.
        public var compressBegan: Date?
        public var committedBefore = 0
        /// Tiles of its own, committed or not, and when it had solved the last.
        public var solved = 0
        public var lastSolved: Date?
        /// What it expected to have left, and when it did.
        public var left: (seconds: Double, time: Date)?
        /// How it ended; nil when it has not, or could not say so.
        public var exitCode: Int32?
        public var error: String?
    }

    public private(set) var attempts: [Attempt] = []
    /// As they were last reported, in the order in which they were first.
    public private(set) var linears: [LinearReport] = []
    public private(set) var mixtures: [MixtureReport] = []

    /// - Parameter log: the file's content. A line that is no event, such as the last one of a run that was killed, is passed over.
    public init(log: Data) {
        var places: [String: Int] = [:]
        for line in log.split(separator: UInt8(ascii: "\n")) {
            guard let event = RunEvent(line: line) else { continue }
            if event.event == .runBegin, let report = event.attempt {
                attempts.append(Attempt(report: report, began: event.time, lastEvent: event.time))
            }
            if !attempts.isEmpty { attempts[attempts.count - 1].take(event) }
            for linear in event.linears ?? [] {
                if let place = places[linear.name] {
                    linears[place] = linear
                } else {
                    places[linear.name] = linears.count
                    linears.append(linear)
                }
            }
            if let mixture = event.mixture {
                mixtures.removeAll { $0.block == mixture.block }
                mixtures.append(mixture)
            }
        }
    }
}

extension RunHistory.Attempt {
    fileprivate mutating func take(_ event: RunEvent) {
        lastEvent = event.time
        if let seconds = event.secondsLeft { left = (seconds, event.time) }
        switch event.event {
        case .phaseBegin:
            part = event.phase
            guard event.phase == .compress else { return }
            (compressBegan, committedBefore) = (event.time, event.reused ?? 0)
        case .stageBegin: (block, stage) = (event.block, event.stage)
        case .stageEnd:
            (block, stage) = (event.block, event.stage)
            solved += event.solved ?? 0
            if (event.solved ?? 0) > 0 { lastSolved = event.time }
        case .commit: lastCommit = event.time
        case .error: (error, exitCode) = (event.message, event.exitCode)
        case .runEnd: exitCode = event.exitCode
        case .runBegin, .blockEnd: break
        }
    }
}
