// Products with a triangle and with its inverse, against their definition in doubles.

import LinearAlgebra
import Testing

@Suite struct TriangularTests {
    @Test(arguments: [1, 7, 64, 300], [false, true])
    func whatATriangleDoes(size: Int, transposed: Bool) {
        // NaN below the diagonal, which nothing may read; a diagonal that keeps solutions small.
        let r = randomMatrix(size, size, seed: 3).asWindow(.nan)
        for i in 0..<size {
            for j in 0..<size { r[i, j] = i > j ? .nan : i == j ? 2 : r[i, j] / Float(size) }
        }
        let x = randomMatrix(size, 40, seed: 4)
        let product = x.copy()
        apply(.product, of: r, transposed: transposed, to: product)
        for i in 0..<size {
            for column in 0..<40 {
                let inner = transposed ? 0..<i + 1 : i..<size
                let expected = inner.reduce(0.0) { $0 + Double(transposed ? r[$1, i] : r[i, $1]) * Double(x[$1, column]) }
                #expect(abs(Double(product[i, column]) - expected) < 1e-5)
            }
        }
        apply(.solution, of: r, transposed: transposed, to: product)
        for (found, expected) in zip(product.elements(), x.elements()) { #expect(abs(found - expected) < 1e-5) }
    }

    @Test(arguments: [1, 7, 64], [false, true])
    func productsGiveBackWhatWasDividedFromTheRight(size: Int, transposed: Bool) {
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
