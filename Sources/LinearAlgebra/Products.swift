// Matrix products in fp32 and fp64 through BLAS, each on the calling thread.

internal import COpenBLAS

/// c = alpha op(a) op(b) + beta c, where op transposes when asked.
///
/// Shapes: op(a): [m, k], op(b): [k, n], c: [m, n].
public func multiply(
    _ a: Matrix<Float>, _ b: Matrix<Float>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<Float>,
    alpha: Float = 1, beta: Float = 0
) {
    let (m, n, k) = productShape(a, b, transposeA, transposeB, c)
    guard m > 0, n > 0 else { return }
    Threads.confineLibraries()
    cblas_sgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
        blasInt(m), blasInt(n), blasInt(k), alpha, a.base, blasInt(a.stride), b.base, blasInt(b.stride), beta, c.base, blasInt(c.stride))
}

/// c = alpha op(a) op(b) + beta c, where op transposes when asked.
public func multiply(
    _ a: Matrix<Double>, _ b: Matrix<Double>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<Double>,
    alpha: Double = 1, beta: Double = 0
) {
    let (m, n, k) = productShape(a, b, transposeA, transposeB, c)
    guard m > 0, n > 0 else { return }
    Threads.confineLibraries()
    cblas_dgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
        blasInt(m), blasInt(n), blasInt(k), alpha, a.base, blasInt(a.stride), b.base, blasInt(b.stride), beta, c.base, blasInt(c.stride))
}

/// The shape (m, n, k) of a product, or a trap that names the shapes that do not fit.
func productShape<A, B, C>(
    _ a: Matrix<A>, _ b: Matrix<B>, _ transposeA: Bool, _ transposeB: Bool, _ c: Matrix<C>
) -> (m: Int, n: Int, k: Int) {
    let (m, k) = transposeA ? (a.columns, a.rows) : (a.rows, a.columns)
    let (inner, n) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
    precondition(k == inner && c.rows == m && c.columns == n, "product [\(m), \(k)] [\(inner), \(n)] into [\(c.rows), \(c.columns)]")
    return (m, n, k)
}

/// BLAS counts in 32 bits; a single extent beyond that is a planning error.
func blasInt(_ value: Int) -> blasint {
    guard let narrow = blasint(exactly: value) else { preconditionFailure("extent \(value) is beyond BLAS's 32-bit counts") }
    return narrow
}
