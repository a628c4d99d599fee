// D^T X over batches: the same bits in any order and in any parts, and close to fp64.

import LinearAlgebra
import Testing

@Suite struct MismatchSumTests {
    /// Columns of d and of x.
    private static let shapes = [
        (1, 1), (5, 5), (64, 64), (choleskyTileSize + 3, choleskyTileSize + 3), (2 * ColumnBlocks.mostColumns + 70, 2 * ColumnBlocks.mostColumns + 70),
        (1, 70), (2 * choleskyTileSize + 3, 5), (40, 3 * ColumnBlocks.mostColumns + 70), (choleskyTileSize + 40, 2 * ColumnBlocks.mostColumns + 70),
        (3 * choleskyTileSize, 200),
    ]

    /// Batches of d, [tokens, rows], and x, [tokens, columns], whose magnitudes differ by orders.
    private func batches(_ rows: Int, _ columns: Int) -> [(d: Matrix<Float>, x: Matrix<Float>)] {
        [1, 4, 3, 7, 2].enumerated().map { index, tokens in
            let scales: (Float, Float) = ([1e-2, 1e-4, 3, 0, 10][index], [1, 1e-4, 30, 1, 1e3][index])
            return (
                randomMatrix(tokens, rows, seed: UInt64(index + 1)).map { $0 * scales.0 },
                randomMatrix(tokens, columns, seed: UInt64(index + 11)).map { $0 * scales.1 }
            )
        }
    }

    private func maxima(_ batches: [(d: Matrix<Float>, x: Matrix<Float>)]) -> (d: Float, x: Float) {
        (batches.map { maxMagnitude($0.d) }.max() ?? 0, batches.map { maxMagnitude($0.x) }.max() ?? 0)
    }

    private func sum(
        _ batches: [(d: Matrix<Float>, x: Matrix<Float>)], part: Range<Int>? = nil, order: [Int] = [0, 1, 2, 3, 4], share: (Int, Int) = (0, 1)
    ) -> MismatchSum {
        let sum = MismatchSum(
            rows: batches[0].d.columns, columns: batches[0].x.columns, part: part, tokens: batches.reduce(0) { $0 + $1.x.rows }, maxMagnitudes: maxima(batches),
            share: share)
        for index in order { sum.add(d: batches[index].d, x: batches[index].x) }
        return sum
    }

    private func elements(_ sum: MismatchSum) -> [UInt64] { sum.panels.flatMap { $0.values.elements() }.map(\.bitPattern) }

    @Test(arguments: shapes)
    func anyOrderGivesTheSameBits(rows: Int, columns: Int) {
        let batches = batches(rows, columns), expected = sum(batches)
        for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
            let found = sum(batches, order: order)
            #expect(elements(found) == elements(expected) && found.squares == expected.squares)
        }
    }

    @Test(arguments: shapes)
    func isCloseToDoubles(rows: Int, columns: Int) {
        let batches = batches(rows, columns), found = sum(batches)
        #expect(found.panels.reduce(0) { $0 + $1.values.rows } == rows)
        let product = Matrix<Double>(repeating: 0, rows, columns), bound = Matrix<Double>(repeating: 0, rows, columns)
        var squares = [Double](repeating: 0, count: rows)
        for (d, x) in batches {
            let (d, x) = (d.map { Double($0) }, x.map { Double($0) })
            multiply(d, x, transposeA: true, into: product, beta: 1)
            multiply(d.map { abs($0) }, x.map { abs($0) }, transposeA: true, into: bound, alpha: 0x1p-20, beta: 1)
            for token in 0..<d.rows { for column in 0..<rows { squares[column] += d[token, column] * d[token, column] } }
        }
        for panel in found.panels {
            for row in panel.rows {
                let isClose = (0..<columns).allSatisfy { abs(panel.values[row - panel.rows.lowerBound, $0] - product[row, $0]) <= bound[row, $0] + 1e-9 }
                #expect(isClose, "row \(row)")
            }
        }
        #expect(zip(found.squares, squares).allSatisfy { abs($0 - $1) <= 1e-9 * $1 + 1e-12 })
    }

    /// As many rows as columns, fewer and more.
    private static let tall = [2 * ColumnBlocks.mostColumns + 70, 2 * choleskyTileSize + 30, 4 * choleskyTileSize]

    @Test(arguments: tall)
    func partsHaveTheBitsOfTheWhole(rows: Int) {
        let batches = batches(rows, 2 * ColumnBlocks.mostColumns + 70), whole = sum(batches)
        for panel in whole.panels {
            let part = sum(batches, part: panel.rows)
            #expect(part.panels.count == 1 && part.panels[0].values.elements() == panel.values.elements())
            #expect(part.squares == Array(whole.squares[panel.rows]))
        }
    }

    /// Several sums that share the blocks of the same batches make the whole together.
    @Test(arguments: [2, 3, 5], tall)
    func sharesAddUpToTheWhole(count: Int, rows: Int) {
        let columns = 2 * ColumnBlocks.mostColumns + 70, batches = batches(rows, columns), whole = sum(batches)
        let shares = (0..<count).map { sum(batches, share: ($0, count)) }
        let total = shares.map { $0.panels.flatMap { $0.values.elements() } }.reduce([Double](repeating: 0, count: rows * columns)) { zip($0, $1).map(+) }
        #expect(total.map(\.bitPattern) == elements(whole))
        #expect(shares.map(\.squares).reduce([Double](repeating: 0, count: rows)) { zip($0, $1).map(+) } == whole.squares)
        #expect(shares.reduce(0) { $0 + $1.operations(tokens: 3) } == whole.operations(tokens: 3))
        #expect(whole.operations(tokens: 3) == 6 * Double(rows * columns))
    }

    /// Few blocks, and so many that operands are packed.
    @Test(arguments: [
        (70, 70), (3 * ColumnBlocks.mostColumns + 70, 3 * ColumnBlocks.mostColumns + 70), (choleskyTileSize + 40, 3 * ColumnBlocks.mostColumns + 70),
        (2 * choleskyTileSize, 70),
    ])
    func bf16SumsAreThoseOfTheSameNumbers(rows: Int, columns: Int) {
        let rounded = batches(rows, columns).map { (d: $0.d.map { BFloat16($0) }, x: $0.x.map { BFloat16($0) }) }
        let plain = rounded.map { (d: $0.d.map(\.float), x: $0.x.map(\.float)) }
        let expected = sum(plain)
        let found = MismatchSum(rows: rows, columns: columns, tokens: 17, maxMagnitudes: maxima(plain))
        for batch in rounded { found.add(d: batch.d, x: batch.x) }
        #expect(found.squares == expected.squares)
        for (panel, other) in zip(found.panels, expected.panels) {
            let pairs = zip(panel.values.elements(), other.values.elements())
            let largest = other.values.elements().map(abs).max() ?? 0
            #expect(pairs.allSatisfy { abs($0 - $1) <= 1e-6 * largest })
        }
        let part = MismatchSum(rows: rows, columns: columns, part: found.panels[0].rows, tokens: 17, maxMagnitudes: maxima(plain))
        for batch in rounded { part.add(d: batch.d, x: batch.x) }
        #expect(part.panels[0].values.elements() == found.panels[0].values.elements())
    }

    @Test func noMismatchIsZero() {
        let sum = MismatchSum(rows: 4, columns: 4, tokens: 3, maxMagnitudes: (0, 1))
        sum.add(d: Matrix(repeating: 0, 3, 4), x: randomMatrix(3, 4, seed: 1))
        #expect(sum.panels[0].values.elements().allSatisfy { $0 == 0 } && sum.squares == [0, 0, 0, 0])
    }
}
