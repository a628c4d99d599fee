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
