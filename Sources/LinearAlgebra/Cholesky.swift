// Cholesky factorisation by panels of fixed-size tiles, whole or in parts that lie on several ranks.

internal import COpenBLAS

/// A leading minor that is not positive.
public struct NotPositiveDefinite: Error, CustomStringConvertible {
    /// The first row (and column) at which the factorisation failed.
    public let index: Int

    public init(index: Int) {
        self.index = index
    }

    public var description: String { "the matrix is not positive definite: its leading minor of order \(index + 1) is not positive" }
}

/// Rows and columns of a tile. A fixed number, since the shape of a product decides its bits.
public let choleskyTileSize = 256

/// The columns of the panels of a matrix of some order.
public func choleskyPanels(order: Int) -> [Range<Int>] {
    stride(from: 0, to: order, by: choleskyTileSize).map { $0..<min($0 + choleskyTileSize, order) }
}

/// Factors a symmetric positive definite matrix: A = L L^T; c^3 / 3 multiplications and additions.
///
/// The algorithm is right-looking over panels. Every tile sees the same operations in the same order whoever holds its panel, so that panels may
/// lie on different ranks: `factorPanel` where the panel is, then `update` of all later panels with it.
/// - Parameter a: [c, c]; only its lower triangle is read; on return it holds L, and what lies above the diagonal is undefined.
public func choleskyLower(_ a: Matrix<Double>) throws(NotPositiveDefinite) {
    precondition(a.rows == a.columns, "Cholesky of \(a.rows) x \(a.columns)")
    let panels = choleskyPanels(order: a.rows)
    for (k, pivot) in panels.enumerated() {
        let panel = a.rows(pivot.lowerBound..<a.rows).columns(pivot)
        try factorPanel(panel, at: pivot.lowerBound)
        updatePanels(panels[(k + 1)...].map { (a.rows($0.lowerBound..<a.rows).columns($0), $0.lowerBound - pivot.lowerBound) }, with: panel)
    }
}

/// Turns a panel that has received all earlier updates into its part of L.
/// - Parameters:
///   - panel: [rows from the diagonal on, columns of the panel].
///   - offset: the first of its columns in the whole matrix, for the error.
public func factorPanel(_ panel: Matrix<Double>, at offset: Int) throws(NotPositiveDefinite) {
    let diagonal = panel.rows(0..<panel.columns)
    try factorTile(diagonal, at: offset)
    // A(i, k) = A(i, k) L(k, k)^-T
    let below = tiles(of: panel, from: panel.columns)
    parallelFor(below.count) { solveTile(panel.rows(below[$0]), diagonal) }
}

/// A(i, j) -= A(i, k) A(j, k)^T for the tiles of later panels j.
/// - Parameters:
///   - targets: each [rows from its diagonal on, its columns], and the row of `panel` at which it begins.
///   - panel: a factored panel k.
public func updatePanels(_ targets: [(target: Matrix<Double>, row: Int)], with panel: Matrix<Double>) {
    let work = targets.flatMap { target, row in tiles(of: target, from: 0).map { (target, row, $0) } }
    parallelFor(work.count) { index in
        let (target, row, rows) = work[index]
        multiply(
            panel.rows(row + rows.lowerBound..<row + rows.upperBound), panel.rows(row..<row + target.columns), transposeB: true,
            into: target.rows(rows), alpha: -1, beta: 1)
    }
}

/// The rows of a panel's tiles: panels begin at multiples of the tile size, so that tiles of all panels end together.
private func tiles(of panel: Matrix<Double>, from first: Int) -> [Range<Int>] {
    stride(from: first, to: panel.rows, by: choleskyTileSize).map { $0..<min($0 + choleskyTileSize, panel.rows) }
}

/// L of one tile, in place. LAPACK counts columns first: its upper triangle of the transposed matrix is this matrix's lower one.
private func factorTile(_ tile: Matrix<Double>, at offset: Int) throws(NotPositiveDefinite) {
    Threads.confineLibraries()
    var (order, leading, info) = (blasInt(tile.rows), blasInt(tile.stride), blasint(0))
    dpotrf_("U", &order, tile.base, &leading, &info)
    precondition(info >= 0, "dpotrf refused argument \(-info)")
    guard info == 0 else { throw NotPositiveDefinite(index: offset + Int(info) - 1) }
}

/// tile = tile L^-T
private func solveTile(_ tile: Matrix<Double>, _ lower: Matrix<Double>) {
    Threads.confineLibraries()
    cblas_dtrsm(
        CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, blasInt(tile.rows), blasInt(tile.columns), 1,
        lower.base, blasInt(lower.stride), tile.base, blasInt(tile.stride))
}
