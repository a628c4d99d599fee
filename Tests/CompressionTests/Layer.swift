// A small layer with correlated inputs, for tests.

import LinearAlgebra
import SeededNumbers

struct Layer: Sendable {
    /// [rows, columns]
    let weights: Matrix<Float>
    /// [columns, columns], upper triangle; NaN below, which nothing may read.
    let hessian: Matrix<Double>
    /// The whole of it.
    private let gram: Matrix<Double>

    init(rows: Int, columns: Int, dead: [Int] = [], seed: UInt64 = 1) {
        var generator = SeededGenerator(seed: seed)
        weights = Matrix((0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) }, rows, columns)
        let tokens = 2 * columns
        let x = Matrix<Double>(uninitialized: tokens, columns)
        for token in 0..<tokens {
            // Neighbouring columns are alike, and some are much larger than others.
            var walk = 0.0
            for column in 0..<columns {
                walk = 0.9 * walk + Double.random(in: -1...1, using: &generator)
                x[token, column] = dead.contains(column) ? 0 : walk * (column % 7 == 3 ? 5 : 1)
            }
        }
        gram = Matrix(uninitialized: columns, columns)
        multiply(x, x, transposeA: true, into: gram)
        hessian = gram.copy()
        for i in 0..<columns { for j in 0..<i { hessian[i, j] = .nan } }
    }

    /// ||(w - q) R||^2 of each row, in doubles from the Hessian itself.
    func loss(_ quantized: Matrix<Float>, damping: Double) -> [Double] {
        let errors = Matrix(zip(weights.elements(), quantized.elements()).map { Double($0 - $1) }, weights.rows, weights.columns)
        let product = errors.copy()
        multiply(errors, gram, into: product, beta: damping)
        return (0..<errors.rows).map { row in
            let (e, h) = (errors.row(row), product.row(row))
            return (0..<errors.columns).reduce(0) { $0 + e[$1] * h[$1] }
        }
    }
}
