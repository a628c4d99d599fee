// A small layer with correlated inputs, for tests.

import LinearAlgebra

struct Layer {
    /// [rows, columns]
    let weights: Matrix<Float>
    /// [columns, columns], upper triangle; NaN below, which nothing may read.
    let hessian: Matrix<Double>

    init(rows: Int, columns: Int, dead: [Int] = [], seed: UInt64 = 1) {
        var generator = SplitMix(seed: seed)
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
        hessian = Matrix(uninitialized: columns, columns)
        multiply(x, x, transposeA: true, into: hessian)
        for i in 0..<columns { for j in 0..<i { hessian[i, j] = .nan } }
    }

    /// ||(w - q) R||^2 of each row, in doubles from the Hessian itself.
    func loss(_ quantized: Matrix<Float>, damping: Double) -> [Double] {
        (0..<weights.rows).map { row in
            let e = (0..<weights.columns).map { Double(weights[row, $0]) - Double(quantized[row, $0]) }
            var total = 0.0
            for i in e.indices {
                total += e[i] * e[i] * (hessian[i, i] + damping)
                for j in i + 1..<max(e.count, i + 1) { total += 2 * e[i] * e[j] * hessian[i, j] }
            }
            return total
        }
    }
}
