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

private struct Outcome<Value: Codable>: Codable {
    /// One value, or none after a failure. A list, since the value itself may be an optional that is nil.
    var value: [Value]
    var failure: String?
    var exitCode: Int32
}
