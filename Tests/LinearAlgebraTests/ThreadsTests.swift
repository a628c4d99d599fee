// Loops over independent units. The number of threads belongs to the process, so these tests run one after the other.

import LinearAlgebra
import Synchronization
import Testing

@Suite(.serialized) struct ThreadsTests {
    struct Refused: Error, Equatable {
        let unit: Int
    }

    private func withThreads(_ count: Int, _ body: () throws -> Void) throws {
        let before = Threads.count
        defer { Threads.count = before }
        Threads.count = count
        try body()
    }

    @Test(arguments: [1, 2, 3], [0, 1, 2, 7, 1000])
    func everyUnitRunsOnce(threads: Int, count: Int) throws {
        try withThreads(threads) { () throws in
            let runs = Mutex([Int](repeating: 0, count: count))
            parallelFor(count) { index in runs.withLock { $0[index] += 1 } }
            #expect(runs.withLock { $0 } == [Int](repeating: 1, count: count))
            #expect(try parallelMap(count) { $0 * $0 } == (0..<count).map { $0 * $0 })
        }
    }

    @Test(arguments: [1, 3])
    func resultsMayBeNil(threads: Int) throws {
        try withThreads(threads) { () throws in
            #expect(try parallelMap(3) { $0 == 1 ? nil : Optional($0) } == [0, nil, 2])
        }
    }

    @Test(arguments: [1, 3])
    func theLowestFailureIsThrown(threads: Int) throws {
        try withThreads(threads) {
            #expect(throws: Refused(unit: 3)) {
                try parallelMap(20) { unit in
                    guard unit < 3 || unit % 4 == 0 else { throw Refused(unit: unit) }
                    return unit
                }
            }
        }
    }

    @Test func productsDoNotDependOnThreadsAround() throws {
        let (a, b) = (randomMatrix(60, 70, seed: 1), randomMatrix(70, 50, seed: 2))
        let alone = Matrix<Float>(repeating: 0, 60, 50)
        multiply(a, b, into: alone)
        try withThreads(3) {
            let inside = try parallelMap(8) { _ in
                let c = Matrix<Float>(repeating: 0, 60, 50)
                multiply(a, b, into: c)
                return c.elements()
            }
            #expect(inside.allSatisfy { $0 == alone.elements() })
        }
    }
}
