// Rows so long that what a column sees of earlier errors is the sum of several products, which threads may share.

import LinearAlgebra
import SeededNumbers
import Testing

import Compression

@Suite(.serialized) struct LongRowTests {
    private static let (rows, columns) = (40, ColumnLoop.gatheredColumns + 700)
    private static let weights = {
        var generator = SeededGenerator(seed: 1)
        return Matrix((0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) }, rows, columns)
    }()
    private static let options = QuantizationOptions(group: 128, grid: .minmax)

    /// A factor with small elements beside the diagonal, so that errors of all earlier columns count about alike.
    private static let r = {
        let r = Matrix<Float>(uninitializedUpperTriangle: columns)
        var generator = SeededGenerator(seed: 2)
        for i in 0..<columns {
            r[i, i] = Float.random(in: 1...2, using: &generator)
            for j in i + 1..<columns { r[i, j] = Float(Int8.random(in: -128...127, using: &generator)) / 1024 }
        }
        return r
    }()

    private func factor(isNarrowed: Bool) throws -> Factor {
        let plan = try FactorPlan(diagonal: [Double](repeating: 1, count: Self.columns), dampingFraction: 0, actOrder: false)
        return Factor(outline: plan.outline(diagonalOfR: (0..<Self.columns).map { Self.r[$0, $0] }), r: Self.r, isNarrowed: isNarrowed)
    }

    /// In doubles, a late column's code is the nearest one to its weight with the errors of all columns before it.
    @Test(arguments: [(false, 0.001), (true, 0.02)])
    func lateColumnsSeeAllEarlierErrors(isNarrowed: Bool, tolerance: Double) throws {
        let tile = try gptq(weights: Self.weights, factor: try factor(isNarrowed: isNarrowed), options: Self.options)
        let decoded = Matrix<Float>(uninitialized: Self.rows, Self.columns)
        tile.dequantize(into: decoded)
        var moved = 0
        for row in 0..<Self.rows {
            for j in stride(from: Self.columns - 1, to: 0, by: -97) {
                let sum = (0..<j).reduce(0.0) { $0 + Double(Self.weights[row, $1] - decoded[row, $1]) * Double(Self.r[$1, j]) }
                let (weight, scale) = (Double(Self.weights[row, j]), Double(tile.scales[row, j / 128]))
                let value = weight + sum / Double(Self.r[j, j])
                moved += abs(value - weight) > scale ? 1 : 0
                // At the end of the grid the nearest code may be far.
                let code = min(max((value / scale).rounded(), -8), 7)
                let distance = abs(Double(decoded[row, j]) / scale - value / scale)
                #expect(distance <= abs(code - value / scale) + tolerance, "row \(row), column \(j)")
            }
        }
        #expect(moved > 100)
    }

    @Test(arguments: [false, true]) func threadsInsideATileDoNotChangeBits(isNarrowed: Bool) throws {
        let factor = try factor(isNarrowed: isNarrowed)
        let before = Threads.count
        defer { Threads.count = before }
        let results = try [1, 2, 3].map { threads in
            Threads.count = threads
            return try gptq(weights: Self.weights, factor: factor, options: Self.options)
        }
        for tile in results.dropFirst() {
            #expect(tile.codes.elements() == results[0].codes.elements())
            #expect(tile.scales.elements() == results[0].scales.elements() && tile.loss == results[0].loss)
        }
    }

    /// Sets of rows, the last of which is shorter.
    @Test(arguments: [Grid.minmax, .mse, .hessian, .solved]) func threadsShareTheSearch(grid: Grid) throws {
        let (rows, columns) = (200, 256)
        let factor = Factor(
            outline: try FactorPlan(diagonal: [Double](repeating: 1, count: columns), dampingFraction: 0, actOrder: false)
                .outline(diagonalOfR: (0..<columns).map { Self.r[$0, $0] }),
            r: Self.r.rows(0..<columns).columns(0..<columns), isNarrowed: false)
        let weights = Self.weights.reshaped(rows, columns), options = QuantizationOptions(group: 64, symmetric: true, signedScales: true, grid: grid)
        let before = Threads.count
        defer { Threads.count = before }
        let whole = try [1, 2, 3].map { threads in
            Threads.count = threads
            return try gptq(weights: weights, factor: factor, options: options)
        }
        for tile in whole.dropFirst() {
            #expect(tile.codes.elements() == whole[0].codes.elements() && tile.loss == whole[0].loss)
            #expect(tile.scales.elements() == whole[0].scales.elements())
        }
    }

    /// Threads gain where there are as many products, or sets of 64 rows; tiles that are left over have all threads in turn where that is faster.
    @Test func fewTilesHaveAllThreads() {
        // 128 columns at a time are gathered over 512 to 4096 columns by one product each, over 4608 to 8192 by two.
        #expect(ColumnLoop.gain(columns: 4096, threads: 8) == 4 && ColumnLoop.gain(columns: 64, threads: 8) == 4)
        #expect(ColumnLoop.gain(columns: 8704, threads: 8) == 96.0 / 16)
        // Four products take two rounds of three threads, eight take three.
        #expect(ColumnLoop.gain(columns: 8704, threads: 3) == 96.0 / 40)
        #expect(ColumnLoop.gain(columns: 8704, threads: 1) == 1)
        #expect([64, 96, 256, 320].map { ColumnLoop.searchGain(rows: $0, threads: 4) } == [1, 2, 4, 2.5])
        #expect(ColumnLoop.searchGain(rows: 256, threads: 1) == 1)
        let counts = [0, 1, 2, 3, 8, 9, 10, 11]
        func alone(rows: Int, columns: Int, threads: Int = 8) -> [Int] {
            counts.map { ColumnLoop.alone(tiles: $0, rows: rows, columns: columns, threads: threads) }
        }
        #expect(alone(rows: 64, columns: 53248) == [0, 1, 2, 3, 0, 1, 2, 3])
        #expect(alone(rows: 256, columns: 16384) == [0, 1, 2, 3, 0, 1, 2, 3])
        #expect(alone(rows: 256, columns: 4096) == [0, 1, 2, 3, 0, 1, 2, 3])
        // Their search is not shared, and takes longer than gathering.
        #expect(alone(rows: 64, columns: 4096) == [0, 1, 0, 0, 0, 1, 0, 0] && alone(rows: 64, columns: 576).allSatisfy { $0 == 0 })
        #expect(alone(rows: 256, columns: 53248, threads: 1).allSatisfy { $0 == 0 })
        #expect(ColumnLoop.partialBytes(columns: 4096, lanes: 64) == 0)
        #expect(ColumnLoop.partialBytes(columns: 8193, lanes: 64) == 2 * 512 * 64 * 4)
    }
}
