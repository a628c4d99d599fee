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
            #expect(parallelMap(count) { $0 * $0 } == (0..<count).map { $0 * $0 })
            #expect(parallelMap(count, alone: count / 3) { $0 * $0 } == (0..<count).map { $0 * $0 })
        }
    }

    /// Units that run alone have the threads to themselves.
    @Test func unitsAloneHaveAllThreads() throws {
        try withThreads(4) { () throws in
            #expect(parallelMap(6, alone: 2) { _ in Threads.areTaken } == [true, true, true, true, false, false])
        }
    }

    @Test(arguments: [1, 3])
    func resultsMayBeNil(threads: Int) throws {
        try withThreads(threads) { () throws in
            #expect(parallelMap(3) { $0 == 1 ? nil : Optional($0) } == [0, nil, 2])
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

    /// A bf16 product is generated for a number of threads, and the same shape is wanted outside of `parallelFor` and inside.
    @Test func bf16ProductsAreTheSameInsideAndOutside() throws {
        let a = randomMatrix(300, 170, seed: 1).map { BFloat16($0) }, b = randomMatrix(170, 290, seed: 2).map { BFloat16($0) }
        let expected = Matrix<Float>(repeating: 0, 300, 290)
        multiply(a.map(\.float), b.map(\.float), into: expected)
        @Sendable func error() -> Float {
            let c = Matrix<Float>(repeating: .nan, 300, 290)
            multiply(a, b, into: c)
            return zip(c.elements(), expected.elements()).reduce(0) { $1.0.isNaN ? .infinity : max($0, abs($1.0 - $1.1)) }
        }
        try withThreads(3) { () throws in
            #expect(error() < 1e-4)
            let inside = parallelMap(6) { _ in error() }
            #expect(inside.allSatisfy { $0 < 1e-4 }, "\(inside)")
            #expect(error() < 1e-4)
        }
    }

    @Test func productsDoNotDependOnThreadsAround() throws {
        let (a, b) = (randomMatrix(60, 70, seed: 1), randomMatrix(70, 50, seed: 2))
        let alone = Matrix<Float>(repeating: 0, 60, 50)
        multiply(a, b, into: alone)
        try withThreads(3) {
            let inside = parallelMap(8) { _ in
                let c = Matrix<Float>(repeating: 0, 60, 50)
                multiply(a, b, into: c)
                return c.elements()
            }
            #expect(inside.allSatisfy { $0 == alone.elements() })
        }
    }
}
