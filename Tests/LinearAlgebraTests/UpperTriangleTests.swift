// Division by an upper triangle.

import LinearAlgebra
import Testing

@Suite struct UpperTriangleTests {
    @Test(arguments: [1, 7, 64], [false, true])
    func productsGiveBackWhatWasDivided(size: Int, transposed: Bool) {
        let r = randomMatrix(size, size, seed: 3)
        for row in 0..<size {
            // What lies below the diagonal is not read.
            for column in 0..<row { r[row, column] = .nan }
            r[row, row] = 2 + abs(r[row, row]) * Float(size)
        }
        let whole = randomMatrix(5, size, seed: 4), x = whole.asWindow(.nan)
        divide(x, by: r, transposed: transposed)
        let upper = r.map { $0.isNaN ? 0 : $0 }, product = Matrix<Float>(uninitialized: 5, size)
        multiply(x, upper, transposeB: transposed, into: product)
        #expect(zip(product.elements(), whole.elements()).allSatisfy { abs($0 - $1) < 1e-4 })
    }
}
