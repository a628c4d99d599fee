// How many threads a rank computes with, and loops over independent units.

internal import COpenBLAS
internal import Dispatch
internal import Synchronization

/// The threads of this process.
public enum Threads {
    private static let chosen = Atomic<Int>(1)

    /// Cores that this process may run on: its affinity mask, which launchers set.
    public static var availableCores: Int { max(1, Int(omp_get_num_procs())) }

    /// The threads that a product called here and now may use: 1 inside `parallelFor`. OpenMP counts them for each calling thread.
    static var ofThisThread: Int { Int(omp_get_max_threads()) }

    /// The number of threads that matrix products and `parallelFor` use; 1 unless set.
    public static var count: Int {
        get { chosen.load(ordering: .relaxed) }
        set {
            precondition(newValue >= 1, "\(newValue) threads")
            chosen.store(newValue, ordering: .relaxed)
            omp_set_num_threads(Int32(newValue))
            openblas_set_num_threads(Int32(newValue))
        }
    }
}

/// Runs `body(0) ... body(count - 1)`, each once, on the rank's threads; products inside `body` use one thread each.
///
/// The units must be independent of each other; which thread runs which unit is not fixed.
public func parallelFor(_ count: Int, _ body: @Sendable (Int) -> Void) {
    let workers = min(Threads.count, count)
    guard workers > 1 else {
        for index in 0..<max(count, 0) { body(index) }
        return
    }
    let next = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
        let outside = omp_get_max_threads()
        omp_set_num_threads(1)
        defer { omp_set_num_threads(outside) }
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard index < count else { return }
            body(index)
        }
    }
}

/// `[body(0), ... body(count - 1)]`, computed on the rank's threads as by `parallelFor`; throws the error of the lowest unit that failed.
public func parallelMap<Value: Sendable>(_ count: Int, _ body: @Sendable (Int) throws -> Value) throws -> [Value] {
    let results = Mutex<[Result<Value, any Error>?]>(Array(repeating: nil, count: count))
    parallelFor(count) { index in
        let result = Result { try body(index) }
        results.withLock { $0[index] = result }
    }
    return try results.withLock { try $0.compactMap { try $0?.get() } }
}
