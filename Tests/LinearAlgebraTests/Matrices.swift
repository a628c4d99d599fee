// Matrices for tests.

import LinearAlgebra
import SeededNumbers

/// [rows, columns]
func randomMatrix(_ rows: Int, _ columns: Int, seed: UInt64) -> Matrix<Float> {
    Matrix(randomFloats(rows * columns, seed: seed), rows, columns)
}

extension Matrix {
    func map<Result: BitwiseCopyable>(_ convert: (Element) -> Result) -> Matrix<Result> {
        Matrix<Result>(elements().map(convert), rows, columns)
    }

    /// The same elements as a window with gaps between its rows, whose surroundings hold `filling`.
    func asWindow(_ filling: Element) -> Matrix {
        let whole = Matrix(repeating: filling, rows + 2, columns + 5)
        let window = whole.rows(1..<rows + 1).columns(2..<columns + 2)
        window.assign(self)
        return window
    }
}
