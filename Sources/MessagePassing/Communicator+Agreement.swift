// Failing together: one rank's error becomes an error that every rank knows of.

internal import Foundation

/// An error that every rank of the group has met at the same call, so each can leave in good order; the coordinator prints it.
public struct AgreedFailure: Error, CustomStringConvertible {
    /// The rank on which it happened.
    public let rank: Int
    public let exitCode: Int32
    public let description: String

    public init(rank: Int, exitCode: Int32, description: String) {
        self.rank = rank
        self.exitCode = exitCode
        self.description = description
    }
}

extension Communicator {
    /// This rank as the beginning of what it says; empty where there is only one.
    public var place: String { size > 1 ? "rank \(rank) on \(Session.hostName): " : "" }

    /// Runs `work` on the coordinator and gives its result to every rank; its error, too, is thrown on every rank.
    ///
    /// - Parameter exitCode: the exit code for an error, kept in the `AgreedFailure`.
    public func fromCoordinator<Value: Codable>(exitCode: (any Error) -> Int32, _ work: () throws -> Value) throws -> Value {
        guard size > 1 else { return try work() }
        var message: [UInt8] = []
        var own: Value?
        if isCoordinator {
            let outcome: Outcome<Value>
            do {
                let value = try work()
                own = value
                outcome = Outcome(value: [value], failure: nil, exitCode: 0)
            } catch {
                outcome = Outcome(value: [], failure: String(describing: error), exitCode: exitCode(error))
            }
            message = [UInt8](try JSONEncoder().encode(outcome))
        }
        let outcome = try JSONDecoder().decode(Outcome<Value>.self, from: Data(try broadcast(message)))
        if let failure = outcome.failure { throw AgreedFailure(rank: 0, exitCode: outcome.exitCode, description: failure) }
        guard let value = own ?? outcome.value.first else { throw AgreedFailure(rank: 0, exitCode: 70, description: "the coordinator sent no result") }
        return value
    }
}

extension Communicator {
    /// Runs `work` on the coordinator while the others wait for its end; its error is thrown on every rank.
    public func onCoordinator(exitCode: (any Error) -> Int32, _ work: () throws -> Void) throws {
        _ = try fromCoordinator(exitCode: exitCode) { () throws -> Bool in
            try work()
            return true
        }
    }

    /// Runs work that every rank does by itself: when it fails on any rank, it fails on all, so that none waits in the next collective for one that
    /// has gone, and the failure is printed once.
    ///
    /// - Parameters:
    ///   - exitCode: the exit code for an error, kept in the `AgreedFailure`.
    ///   - work: calls nothing collective.
    /// - Throws: an `AgreedFailure` of the lowest rank that failed, naming its host; on a single rank the error itself.
    public func together<Value>(exitCode: (any Error) -> Int32, _ work: () throws -> Value) throws -> Value {
        guard size > 1 else { return try work() }
        let result = Result { try work() }
        var failures = [0]
        var lowest = [0]  // counted down from the size, so that a maximum finds the lowest rank
        if case .failure = result { (failures[0], lowest[0]) = (1, size - rank) }
        try allReduceSum(&failures)
        guard failures[0] > 0 else { return try result.get() }
        try allReduceMax(&lowest)
        let failed = size - lowest[0]
        var message: [UInt8] = []
        if rank == failed, case .failure(let error) = result {
            let others = failures[0] == 1 ? "" : " (and \(failures[0] - 1) more of \(size) ranks)"
            message = [UInt8](
                try JSONEncoder().encode(
                    Outcome<Int>(value: [], failure: "rank \(rank) on \(Session.hostName)\(others): \(error)", exitCode: exitCode(error))))
        }
        let outcome = try JSONDecoder().decode(Outcome<Int>.self, from: Data(try broadcast(message, from: failed)))
        throw AgreedFailure(rank: failed, exitCode: outcome.exitCode, description: outcome.failure ?? "")
    }
}

extension Communicator {
    /// Whether something holds on every rank.
    public func all(_ holds: Bool) throws -> Bool {
        guard size > 1 else { return holds }
        var exceptions = [holds ? 0 : 1]
        try allReduceMax(&exceptions)
        return exceptions[0] == 0
    }
}

private struct Outcome<Value: Codable>: Codable {
    /// One value, or none after a failure. A list, since the value itself may be an optional that is nil.
    var value: [Value]
    var failure: String?
    var exitCode: Int32
}
