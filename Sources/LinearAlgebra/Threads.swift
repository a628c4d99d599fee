// How many threads a rank computes with, and loops over independent units.

internal import COpenBLAS
internal import Dispatch
internal import Synchronization

/// The threads of this process.
public enum Threads {
    /// More than any machine has cores.
    public static let most = 1 << 12

    private static let chosen = Atomic<Int>(1)
    private static let blasIsConfined: Void = openblas_set_num_threads(1)

    /// Whether the calling code is a unit of `parallelFor`, whose threads are all taken.
    @TaskLocal package static var areTaken = false

    /// Cores that this process may run on: its affinity mask, which launchers set.
    public static var availableCores: Int { max(1, Int(omp_get_num_procs())) }

    /// Confines OpenBLAS and oneDNN to the calling thread, before they are called: what they split among threads has other bits for each number of them.
    static func confineLibraries() {
        _ = blasIsConfined
        omp_set_num_threads(1)
    }

    /// The number of threads that `parallelFor` uses; 1 unless set.
    public static var count: Int {
        get { chosen.load(ordering: .relaxed) }
        set {
            precondition(newValue >= 1, "\(newValue) threads")
            chosen.store(newValue, ordering: .relaxed)
        }
    }
}

/// Runs `body(0) ... body(count - 1)`, each once, on the rank's threads. Units of units run one after the other.
///
/// The units must be independent of each other; which thread runs which unit is not fixed. Where they compute products, their number and shapes
/// must not follow from the number of threads: a product runs on one thread, and its shape decides its bits.
public func parallelFor(_ count: Int, _ body: @Sendable (Int) -> Void) {
    let workers = Threads.areTaken ? 1 : min(Threads.count, count)
    guard workers > 1 else {
        for index in 0..<max(count, 0) { body(index) }
        return
    }
    let next = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
        Threads.$areTaken.withValue(true) {
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
    }
}

/// Runs `body` on ranges of so many numbers each that together make `0..<count`, as `parallelFor` does.
public func parallelFor(_ count: Int, inUnitsOf length: Int, _ body: @Sendable (Range<Int>) -> Void) {
    parallelFor((count + length - 1) / length) { unit in body(unit * length..<min((unit + 1) * length, count)) }
}

/// Runs `body` on rectangles that together make `0..<rows` times `0..<columns`, as `parallelFor` does.
public func parallelFor(
    _ rows: Int, _ columns: Int, inUnitsOf size: (rows: Int, columns: Int), _ body: @Sendable (_ rows: Range<Int>, _ columns: Range<Int>) -> Void
) {
    let across = (columns + size.columns - 1) / size.columns
    parallelFor((rows + size.rows - 1) / size.rows * across) { unit in
        let (row, column) = (unit / across * size.rows, unit % across * size.columns)
        body(row..<min(row + size.rows, rows), column..<min(column + size.columns, columns))
    }
}

/// `[body(0), ... body(count - 1)]`, computed on the rank's threads as by `parallelFor`; throws the error of the lowest unit that failed.
public func parallelMap<Value: Sendable, Failure: Error>(
    _ count: Int, _ body: @Sendable (Int) throws(Failure) -> Value
) throws(Failure) -> [Value] {
    let results = Mutex<[Result<Value, Failure>?]>(Array(repeating: nil, count: count))
    parallelFor(count) { index in
        let result = Result { () throws(Failure) in try body(index) }
        results.withLock { $0[index] = result }
    }
    return try results.withLock { results throws(Failure) in
        var values: [Value] = []
        for result in results { if let result { values.append(try result.get()) } }
        return values
    }
}

/// As `parallelMap`, for units that use threads themselves: the last `alone` of them run one after the other.
public func parallelMap<Value: Sendable, Failure: Error>(
    _ count: Int, alone: Int, _ body: @Sendable (Int) throws(Failure) -> Value
) throws(Failure) -> [Value] {
    var values = try parallelMap(count - alone, body)
    for unit in count - alone..<count { values.append(try body(unit)) }
    return values
}
