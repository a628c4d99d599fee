// Products with an upper triangular matrix and with its inverse in fp32, in place, each on the calling thread.

internal import COpenBLAS

/// What a triangular matrix does to a vector.
public enum TriangularAction: Sendable {
    case product, solution
}

/// x = op(r) x, or x = op(r)^-1 x, where op transposes when asked; c^2 n multiplications and additions.
///
/// - Parameters:
///   - r: [c, c], upper triangular; what lies below the diagonal is not read.
///   - x: [c, n]
public func apply(_ action: TriangularAction, of r: Matrix<Float>, transposed: Bool = false, to x: Matrix<Float>) {
    precondition(r.rows == r.columns && r.columns == x.rows, "a triangle of [\(r.rows), \(r.columns)] and [\(x.rows), \(x.columns)]")
    guard x.count > 0 else { return }
    Threads.confineLibraries()
    let routine = action == .product ? cblas_strmm : cblas_strsm
    routine(
        CblasRowMajor, CblasLeft, CblasUpper, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, blasInt(x.rows), blasInt(x.columns), 1,
        r.base, blasInt(r.stride), x.base, blasInt(x.stride))
}

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
