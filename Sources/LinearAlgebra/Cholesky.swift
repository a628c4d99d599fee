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

/// What all but the tiles on the diagonal is computed in: those below them, and updates with a factored panel. What updates are subtracted from is in fp64
/// either way.
public enum UpdatePrecision: Sendable {
    case fp32, fp64
}

/// Rows and columns of a tile. A fixed number, since the shape of a product decides its bits.
public let choleskyTileSize = 256

/// The columns of the panels of a matrix of some order.
public func choleskyPanels(order: Int) -> [Range<Int>] {
    (0..<order).cut(every: choleskyTileSize)
}

/// Factors a symmetric positive definite matrix: A = L L^T; c^3 / 3 multiplications and additions.
///
/// The algorithm is right-looking over panels. Every tile sees the same operations in the same order whoever holds its panel, so that panels may
/// lie on different ranks: `factorPanel` where the panel is, then `update` of all later panels with it.
/// - Parameter a: [c, c]; only its lower triangle is read; on return it holds L, and what lies above the diagonal is undefined.
public func choleskyLower(_ a: Matrix<Double>, precision: UpdatePrecision = .fp64) throws(NotPositiveDefinite) {
    precondition(a.rows == a.columns, "Cholesky of \(a.rows) x \(a.columns)")
    let panels = choleskyPanels(order: a.rows)
    for (k, pivot) in panels.enumerated() {
        let panel = a.rows(pivot.lowerBound..<a.rows).columns(pivot)
        try factorPanel(panel, at: pivot.lowerBound, precision: precision)
        let later = panels[(k + 1)...].map { (a.rows($0.lowerBound..<a.rows).columns($0), $0.lowerBound - pivot.lowerBound) }
        switch precision {
        case .fp64: updatePanels(later, with: panel)
        case .fp32: updatePanels(later, with: rounded(panel))
        }
    }
}

/// Turns a panel that has received all earlier updates into its part of L.
/// - Parameters:
///   - panel: [rows from the diagonal on, columns of the panel].
///   - offset: the first of its columns in the whole matrix, for the error.
///   - precision: of the tiles below the one on the diagonal.
public func factorPanel(_ panel: Matrix<Double>, at offset: Int, precision: UpdatePrecision) throws(NotPositiveDefinite) {
    try factorDiagonal(of: panel, at: offset)
    solvePanel(panel, precision: precision)
}

/// The first step: the tile on the diagonal.
public func factorDiagonal(of panel: Matrix<Double>, at offset: Int) throws(NotPositiveDefinite) {
    try factorTile(panel.rows(0..<panel.columns), at: offset)
}

/// The second step: the tiles below it, A(i, k) = A(i, k) L(k, k)^-T.
/// - Parameter share: of several processes that share the panel, this one takes some tiles.
public func solvePanel(_ panel: Matrix<Double>, precision: UpdatePrecision, share: (index: Int, count: Int) = (0, 1)) {
    let diagonal = panel.rows(0..<panel.columns), below = ownTiles(of: panel, from: panel.columns, share)
    switch precision {
    case .fp64: parallelFor(below.count) { solveTile(panel.rows(below[$0]), diagonal) }
    case .fp32:
        let diagonal = rounded(diagonal)
        parallelFor(below.count) { solveTile(panel.rows(below[$0]), diagonal) }
    }
}

/// The tiles of a panel from a row on that one of several processes takes.
private func ownTiles(of panel: Matrix<Double>, from first: Int, _ share: (index: Int, count: Int)) -> [Range<Int>] {
    tiles(of: panel, from: first).enumerated().filter { $0.offset % share.count == share.index }.map(\.element)
}

/// A(i, j) -= A(i, k) A(j, k)^T for the tiles of later panels j.
/// - Parameters:
///   - targets: each [rows from its diagonal on, its columns], and the row of `panel` at which it begins.
///   - panel: a factored panel k.
///   - share: of several processes that share the later panels, this one takes some tiles.
public func updatePanels(_ targets: [(target: Matrix<Double>, row: Int)], with panel: Matrix<Double>, share: (index: Int, count: Int) = (0, 1)) {
    forEachTile(targets, share) { tile, row, rows in
        multiply(
            panel.rows(row + rows.lowerBound..<row + rows.upperBound), panel.rows(row..<row + tile.columns), transposeB: true, into: tile,
            alpha: -1, beta: 1)
    }
}

/// The same with products in fp32.
/// - Parameter panel: a factored panel k, rounded.
public func updatePanels(_ targets: [(target: Matrix<Double>, row: Int)], with panel: Matrix<Float>, share: (index: Int, count: Int) = (0, 1)) {
    forEachTile(targets, share) { tile, row, rows in
        ScratchPool.withScratch(byteCount: tile.count * MemoryLayout<Float>.stride) { scratch in
            let product = Matrix<Float>(in: scratch, tile.rows, tile.columns)
            multiply(panel.rows(row + rows.lowerBound..<row + rows.upperBound), panel.rows(row..<row + tile.columns), transposeB: true, into: product)
            subtract(product, from: tile)
        }
    }
}

/// Visits the tiles of panels with the row at which each panel begins, and the rows that the tile takes of it.
private func forEachTile(
    _ targets: [(target: Matrix<Double>, row: Int)], _ share: (index: Int, count: Int),
    _ body: @Sendable (_ tile: Matrix<Double>, _ row: Int, _ rows: Range<Int>) -> Void
) {
    let all = targets.flatMap { target, row in tiles(of: target, from: 0).map { (target, row, $0) } }
    let work = stride(from: share.index, to: all.count, by: share.count).map { all[$0] }
    parallelFor(work.count) { body(work[$0].0.rows(work[$0].2), work[$0].1, work[$0].2) }
}

/// A panel in fp32.
private func rounded(_ panel: Matrix<Double>) -> Matrix<Float> {
    let result = Matrix<Float>(uninitialized: panel.rows, panel.columns)
    roundPanel(panel, into: result)
    return result
}

/// Copies a panel to one in fp32, or in fp64.
/// - Parameter share: of several processes that share both, this one takes the tiles that it takes of `solvePanel`, and the first the one on the diagonal.
@specialized(where Element == Float)
@specialized(where Element == Double)
public func roundPanel<Element: BinaryFloatingPoint & BitwiseCopyable & SendableMetatype>(
    _ panel: Matrix<Double>, into result: Matrix<Element>, share: (index: Int, count: Int) = (0, 1)
) {
    let first = share.index == 0 ? [0..<min(panel.columns, panel.rows)] : []
    for tile in first + ownTiles(of: panel, from: panel.columns, share) {
        parallelFor(tile.count) { index in
            let row = tile.lowerBound + index, (source, target) = (panel.row(row), result.row(row))
            for column in 0..<panel.columns { target[column] = Element(source[column]) }
        }
    }
}

private func round(_ matrix: Matrix<Double>, into result: Matrix<Float>) {
    for row in 0..<matrix.rows {
        let (source, target) = (matrix.row(row), result.row(row))
        for column in 0..<matrix.columns { target[column] = Float(source[column]) }
    }
}

private func subtract(_ product: Matrix<Float>, from target: Matrix<Double>) {
    for row in 0..<product.rows {
        let (source, target) = (product.row(row), target.row(row))
        for column in 0..<product.columns { target[column] -= Double(source[column]) }
    }
}

/// The rows of a panel's tiles: panels begin at multiples of the tile size, so that tiles of all panels end together.
private func tiles(of panel: Matrix<Double>, from first: Int) -> [Range<Int>] {
    (first..<panel.rows).cut(every: choleskyTileSize)
}

/// L of one tile, in place. LAPACK counts columns first: its upper triangle of the transposed matrix is this matrix's lower one.
private func factorTile(_ tile: Matrix<Double>, at offset: Int) throws(NotPositiveDefinite) {
    Threads.confineLibraries()
    var (order, leading, info) = (blasInt(tile.rows), blasInt(tile.stride), blasint(0))
    dpotrf_("U", &order, tile.base, &leading, &info)
    precondition(info >= 0, "dpotrf refused argument \(-info)")
    guard info == 0 else { throw NotPositiveDefinite(index: offset + Int(info) - 1) }
}

/// tile = tile L^-T in fp32
private func solveTile(_ tile: Matrix<Double>, _ lower: Matrix<Float>) {
    ScratchPool.withScratch(byteCount: tile.count * MemoryLayout<Float>.stride) { scratch in
        let values = Matrix<Float>(in: scratch, tile.rows, tile.columns)
        round(tile, into: values)
        Threads.confineLibraries()
        cblas_strsm(
            CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, blasInt(tile.rows), blasInt(tile.columns), 1,
            lower.base, blasInt(lower.stride), values.base, blasInt(values.stride))
        for row in 0..<tile.rows {
            let (source, target) = (values.row(row), tile.row(row))
            for column in 0..<tile.columns { target[column] = Double(source[column]) }
        }
    }
}

/// tile = tile L^-T
private func solveTile(_ tile: Matrix<Double>, _ lower: Matrix<Double>) {
    Threads.confineLibraries()
    cblas_dtrsm(
        CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, blasInt(tile.rows), blasInt(tile.columns), 1,
        lower.base, blasInt(lower.stride), tile.base, blasInt(tile.stride))
}
