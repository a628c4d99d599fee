// Rows and columns of a matrix exchanged.

internal import CKernels

extension Matrix {
    /// A contiguous copy with rows and columns exchanged.
    public func transposed() -> Matrix {
        let result = Matrix(uninitialized: columns, rows)
        let block = 32  // rows and columns whose cache lines fit into L1 together
        for top in Swift.stride(from: 0, to: rows, by: block) {
            for left in Swift.stride(from: 0, to: columns, by: block) {
                for row in top..<min(top + block, rows) {
                    for column in left..<min(left + block, columns) {
                        result.base[column * rows + row] = base[row * stride + column]
                    }
                }
            }
        }
        return result
    }
}

/// target = source^T, of shape [source.columns, source.rows].
public func transpose(_ source: Matrix<BFloat16>, into target: Matrix<BFloat16>) {
    precondition(
        target.rows == source.columns && target.columns == source.rows, "[\(source.rows), \(source.columns)] into [\(target.rows), \(target.columns)]")
    source.base.withMemoryRebound(to: UInt16.self, capacity: source.count) { from in
        target.base.withMemoryRebound(to: UInt16.self, capacity: target.count) { to in
            cleave_transpose_16(from, source.stride, source.rows, source.columns, to, target.stride)
        }
    }
}
