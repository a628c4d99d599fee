// Calls of MPI that block, made beside the work of their rank.

internal import Dispatch
internal import Synchronization

/// A call of MPI on a thread of its own. A library moves a long message only while it is called, so that one which was only begun would wait for `finish`.
///
/// The rank calls MPI nowhere else until `finish` has returned (`MPI_THREAD_SERIALIZED`).
final class BackgroundCall: Sendable {
    private let done = DispatchSemaphore(value: 0)
    private let outcome = Mutex<Result<Void, MPIError>>(.success(()))

    /// One queue for all calls: its thread stays while one call soon follows another.
    private static let queue = DispatchQueue(label: "messages", qos: .userInitiated)

    init(_ body: @escaping @Sendable () throws(MPIError) -> Void) {
        Self.queue.async { [self] in
            let result = Result { () throws(MPIError) in try body() }
            outcome.withLock { $0 = result }
            done.signal()
        }
    }

    func finish() throws(MPIError) {
        done.wait()
        try outcome.withLock { $0 }.get()
    }
}
