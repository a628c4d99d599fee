// Weights that are not quantized, as the checkpoint stores them.

import LinearAlgebra

extension Tile {
    /// Values rounded to a type, in place, and in the layer's order.
    /// - Parameter solved: [columns, lanes]
    /// - Returns: [rows, columns]
    func values(_ solved: Matrix<Float>, _ type: ScaleType) throws(CompressionError) -> Matrix<Float> {
        if type != .f32 { type.round(solved, Matrix(uninitialized: solved.rows, solved.columns)) }
        let values = original(solved)
        try values.checkFinite(type)
        return values
    }
}

extension Matrix<Float> {
    /// - Throws: for the first weight that its type cannot hold.
    func checkFinite(_ type: ScaleType) throws(CompressionError) {
        for row in 0..<rows {
            let numbers = UnsafeBufferPointer(start: self.row(row), count: columns)
            if let column = numbers.firstIndex(where: { !$0.isFinite }) { throw .valueOutOfRange(row: row, column: column, type) }
        }
    }
}
