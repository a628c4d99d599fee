// What goes wrong on one rank in the middle of collective work.

internal import MessagePassing

/// The first error that a rank met by itself, while the others go on until all agree that there was one.
package struct FirstFailure {
    private var error: (any Error)?

    package init() {}

    package var isSet: Bool { error != nil }

    /// Runs work that calls nothing collective, unless there was an error already.
    package mutating func of<Value>(_ work: () throws -> Value) -> Value? {
        guard error == nil else { return nil }
        do {
            return try work()
        } catch {
            self.error = error
            return nil
        }
    }

    /// Runs collective work to its end; an error of MPI itself is thrown.
    mutating func ofOwn(_ work: () throws -> Void) throws {
        do {
            try work()
        } catch let error as MPIError {
            throw error
        } catch {
            self.error = self.error ?? error
        }
    }

    package func rethrow() throws { if let error { throw error } }
}
