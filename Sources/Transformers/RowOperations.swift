// Operations on every row of a matrix, over the rank's threads.

internal import CKernels
internal import LinearAlgebra

/// Rows that one thread takes at a time.
private let rowsPerUnit = 16

/// Runs `body` on ranges that together make `0..<count`, each once.
func forEachRowRange(_ count: Int, _ body: @Sendable (Range<Int>) -> Void) {
    parallelFor(count, inUnitsOf: rowsPerUnit, body)
}

/// values[t, i] += addend[i]
func addToEachRow(of values: Matrix<Float>, _ addend: [Float]) {
    precondition(addend.count == values.columns, "\(addend.count) addends for \(values.columns) columns")
    forEachRowRange(values.rows) { rows in
        for row in rows { cleave_add(values.row(row), addend, values.columns) }
    }
}

/// values += addend, of the same shape.
func add(_ addend: Matrix<Float>, to values: Matrix<Float>) {
    precondition(addend.rows == values.rows && addend.columns == values.columns, "a sum of matrices of different shapes")
    forEachRowRange(values.rows) { rows in
        for row in rows { cleave_add(values.row(row), addend.row(row), values.columns) }
    }
}

extension ActivationFunction {
    /// values[i] = f(values[i])
    package func apply(to values: UnsafeMutablePointer<Float>, count: Int) {
        switch self {
        case .relu: cleave_relu(values, count)
        case .silu: cleave_silu(values, count)
        case .gelu: cleave_gelu(values, count)
        case .geluTanh: cleave_gelu_tanh(values, count)
        }
    }
}
