// The inverse of a symmetric matrix from its triangular factor, in fp64.

internal import COpenBLAS

/// (r r^T)^-1, all of it; 2 c^3 multiplications and additions on the rank's threads.
///
/// - Parameter r: [c, c], upper triangular, no zero on the diagonal; what lies below it is not read.
/// - Returns: [c, c]
public func inverseOfSquare(_ r: Matrix<Float>) -> Matrix<Double> {
    precondition(r.rows == r.columns, "a triangle of [\(r.rows), \(r.columns)]")
    let order = r.rows
    let triangle = Matrix<Double>(uninitialized: order, order)
    let result = Matrix<Double>(zeros: order, order)
    parallelFor(order) { row in
        let (source, target) = (r.row(row), triangle.row(row))
        for column in row..<order { target[column] = Double(source[column]) }
        result.row(row)[row] = 1
    }
    Threads.confineLibraries()
    // A fixed width, since the shape of a product decides its bits.
    parallelFor(order, inUnitsOf: 64) { columns in
        let x = result.columns(columns)
        for transposed in [CblasNoTrans, CblasTrans] {
            cblas_dtrsm(
                CblasRowMajor, CblasLeft, CblasUpper, transposed, CblasNonUnit, blasInt(order), blasInt(columns.count), 1, triangle.base,
                blasInt(triangle.stride), x.base, blasInt(x.stride))
        }
    }
    return result
}
