// Systems of equations with an upper triangle, in fp32.

internal import COpenBLAS

/// x = x R^-1, or x R^-T when asked, in place; on the calling thread.
/// - Parameters:
///   - x: [rows, n]
///   - r: [n, n]; only elements on and above the diagonal are read, which must not be zero on it.
public func divide(_ x: Matrix<Float>, by r: Matrix<Float>, transposed: Bool) {
    precondition(r.rows == r.columns && x.columns == r.rows, "[\(x.rows), \(x.columns)] by a triangle of [\(r.rows), \(r.columns)]")
    guard x.count > 0 else { return }
    Threads.confineLibraries()
    cblas_strsm(
        CblasRowMajor, CblasRight, CblasUpper, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, blasInt(x.rows), blasInt(x.columns), 1,
        r.base, blasInt(r.stride), x.base, blasInt(x.stride))
}
