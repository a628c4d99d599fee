// The tile Cholesky against its definition, at sizes around the tile size.

import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct CholeskyTests {
    @Test(
        arguments: [1, 2, 17, choleskyTileSize - 1, choleskyTileSize, choleskyTileSize + 1, 2 * choleskyTileSize + 40],
        [UpdatePrecision.fp32, .fp64])
    func productOfTheFactorIsTheMatrix(size: Int, precision: UpdatePrecision) throws {
        let matrix = positiveDefinite(size)
        let factor = matrix.copy()
        try choleskyLower(factor, precision: precision)
        clearAboveDiagonal(factor)
        let product = Matrix<Double>(uninitialized: size, size)
        multiply(factor, factor, transposeB: true, into: product)
        let error = zip(product.elements(), matrix.elements()).map { abs($0 - $1) }.max() ?? 0
        // One tile has no updates.
        #expect(error < (precision == .fp32 && size > choleskyTileSize ? 1e-6 : 1e-9) * Double(size))
    }

    /// Several processes that share panels: each takes some tiles of each step, and the factor has the same bits.
    @Test(arguments: [2, 3, 7], [UpdatePrecision.fp32, .fp64])
    func sharesMakeTheWhole(count: Int, precision: UpdatePrecision) throws {
        let size = 3 * choleskyTileSize + 40, expected = positiveDefinite(size), shared = expected.copy()
        try choleskyLower(expected, precision: precision)
        let panels = choleskyPanels(order: size), shares = (0..<count).map { (index: $0, count: count) }
        func panel(_ range: Range<Int>) -> Matrix<Double> { shared.rows(range.lowerBound..<size).columns(range) }
        for (index, range) in panels.enumerated() {
            let own = panel(range), later = panels[(index + 1)...].map { (target: panel($0), row: $0.lowerBound - range.lowerBound) }
            try factorDiagonal(of: own, at: range.lowerBound)
            for share in shares { solvePanel(own, precision: precision, share: share) }
            func update<E: BinaryFloatingPoint & SendableMetatype>(_ update: (Matrix<E>, (index: Int, count: Int)) -> Void) {
                let copy = Matrix<E>(repeating: .nan, own.rows, own.columns)
                for share in shares { roundPanel(own, into: copy, share: share) }
                for share in shares { update(copy, share) }
            }
            switch precision {
            case .fp32: update { (copy: Matrix<Float>, share) in updatePanels(later, with: copy, share: share) }
            case .fp64: update { (copy: Matrix<Double>, share) in updatePanels(later, with: copy, share: share) }
            }
        }
        clearAboveDiagonal(expected)
        clearAboveDiagonal(shared)
        #expect(shared.elements() == expected.elements())
    }

    @Test func namesTheFailingMinor() {
        let size = choleskyTileSize + 10
        let matrix = positiveDefinite(size)
        matrix[choleskyTileSize + 3, choleskyTileSize + 3] = -1
        let error = #expect(throws: NotPositiveDefinite.self) { try choleskyLower(matrix) }
        #expect(error?.index == choleskyTileSize + 3)
    }

    private func positiveDefinite(_ size: Int) -> Matrix<Double> {
        var generator = SeededGenerator(seed: UInt64(size))
        let x = Matrix((0..<2 * size * size).map { _ in Double.random(in: -1...1, using: &generator) }, 2 * size, size)
        let result = Matrix<Double>(uninitialized: size, size)
        multiply(x, x, transposeA: true, into: result)
        for index in 0..<size { result[index, index] += 1 }
        return result
    }

    private func clearAboveDiagonal(_ matrix: Matrix<Double>) {
        for row in 0..<matrix.rows { for column in row + 1..<max(matrix.columns, row + 1) { matrix[row, column] = 0 } }
    }
}
