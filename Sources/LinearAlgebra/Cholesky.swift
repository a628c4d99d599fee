// Cholesky factorisation by fixed-size tiles.

internal import COpenBLAS

/// A leading minor that is not positive.
public struct NotPositiveDefinite: Error, CustomStringConvertible {
    /// The first row (and column) at which the factorisation failed.
    public let index: Int

    public var description: String { "the matrix is not positive definite: its leading minor of order \(index + 1) is not positive" }
}

/// Rows and columns of a tile. A fixed number, since the shape of a product decides its bits.
public let choleskyTileSize = 256

/// Factors a symmetric positive definite matrix: A = L L^T; c^3 / 3 multiplications and additions.
///
/// The algorithm is right-looking over tiles (potrf, trsm, syrk and gemm on each), so every tile sees the same operations in the same order on
/// whichever rank or thread it lies.
/// - Parameter a: [c, c]; only its lower triangle is read; on return it holds L, and what lies above the diagonal is undefined.
public func choleskyLower(_ a: Matrix<Double>) throws(NotPositiveDefinite) {
    precondition(a.rows == a.columns, "Cholesky of \(a.rows) x \(a.columns)")
    let ranges = stride(from: 0, to: a.rows, by: choleskyTileSize).map { $0..<min($0 + choleskyTileSize, a.rows) }
    for (k, pivot) in ranges.enumerated() {
        let diagonal = a.rows(pivot).columns(pivot)
        try factorTile(diagonal, at: pivot.lowerBound)
        let below = ranges[(k + 1)...]
        // A(i, k) = A(i, k) L(k, k)^-T
        for i in below { solveTile(a.rows(i).columns(pivot), diagonal) }
        // A(i, j) -= A(i, k) A(j, k)^T
        let pairs = below.indices.flatMap { i in (k + 1...i).map { j in (ranges[i], ranges[j]) } }
        parallelFor(pairs.count) { index in
            let (i, j) = pairs[index]
            multiply(a.rows(i).columns(pivot), a.rows(j).columns(pivot), transposeB: true, into: a.rows(i).columns(j), alpha: -1, beta: 1)
        }
    }
}

/// L of one tile, in place. LAPACK counts columns first: its upper triangle of the transposed matrix is this matrix's lower one.
private func factorTile(_ tile: Matrix<Double>, at offset: Int) throws(NotPositiveDefinite) {
    var (order, leading, info) = (blasInt(tile.rows), blasInt(tile.stride), blasint(0))
    dpotrf_("U", &order, tile.base, &leading, &info)
    precondition(info >= 0, "dpotrf refused argument \(-info)")
    guard info == 0 else { throw NotPositiveDefinite(index: offset + Int(info) - 1) }
}

/// tile = tile L^-T
private func solveTile(_ tile: Matrix<Double>, _ lower: Matrix<Double>) {
    cblas_dtrsm(
        CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, blasInt(tile.rows), blasInt(tile.columns), 1,
        lower.base, blasInt(lower.stride), tile.base, blasInt(tile.stride))
}
