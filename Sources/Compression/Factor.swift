// The factor of the damped Hessian, in the order in which columns are quantized.

public import LinearAlgebra

/// H + damping = R R^T, R upper triangular.
///
/// The published column loop uses U with H^-1 = U^T U. It is U = R^-1, so R serves the same loop without the inverse (see `ColumnLoop`).
public struct Factor: @unchecked Sendable {
    public let outline: FactorOutline
    /// R: [columns, columns], in the order of quantization, zeros below the diagonal.
    public let r: Matrix<Float>
    private let narrowed: NarrowedColumns?

    /// - Parameters:
    ///   - r: R of that outline, complete.
    ///   - isNarrowed: whether columns gather the errors of the panels before their own in bf16, see `ColumnLoop`.
    ///   - pages: `narrowedBytes(columns:)` bytes, where several processes make the columns in bf16 together; they wait for each other before they use them.
    public init(outline: FactorOutline, r: Matrix<Float>, isNarrowed: Bool = false, in pages: SharedPages? = nil) {
        precondition(r.rows == outline.columns && r.columns == outline.columns, "[\(r.rows), \(r.columns)] for a factor of \(outline.columns)")
        self.outline = outline
        self.r = r
        narrowed = isNarrowed ? NarrowedColumns(0..<r.columns, r, of: r.columns, in: pages) : nil
    }

    public var columns: Int { r.columns }
    public var permutation: [Int]? { outline.permutation }
    public var deadColumns: [Int] { outline.deadColumns }
    public var diagonal: [Double] { outline.diagonal }
    public var damping: Double { outline.damping }
    public var dampingFraction: Double { outline.dampingFraction }
    public var attempts: Int { outline.attempts }
    package var deadPositions: [Int] { outline.deadPositions }

    /// x = H x with the damped Hessian: [columns, lanes], in the order of quantization; as much work as two products with R.
    func multiplyHessian(_ x: Matrix<Float>) {
        apply(.product, of: r, transposed: true, to: x)
        apply(.product, of: r, to: x)
    }

    /// x = H^-1 x, of the same shape.
    func solveHessian(_ x: Matrix<Float>) {
        apply(.solution, of: r, to: x)
        apply(.solution, of: r, transposed: true, to: x)
    }

    /// Bytes of a narrowed factor beside R itself.
    package static func narrowedBytes(columns: Int) -> Int { NarrowedColumns.byteCount(columns: columns) }

    /// A window on R.
    public func panel(_ columns: Range<Int>) -> FactorPanel {
        FactorPanel(columns: columns, values: r.rows(0..<columns.upperBound).columns(columns), narrowed: narrowed)
    }

    /// ||x R||^2 of each row of x, given transposed and in the order of quantization: [columns, lanes].
    func squaredNorms(_ x: Matrix<Float>, rows: Int) -> [Double] {
        var sums = [Double](repeating: 0, count: rows)
        panel(0..<columns).addSquaredNorms(x, to: &sums)
        return sums
    }

    /// ||w R||^2 of a tile's first rows.
    func energies(_ tile: Tile) -> [Double] {
        var sums = [Double](repeating: 0, count: tile.sampledRows)
        panel(0..<columns).addEnergies(tile.sampled, to: &sums)
        return sums
    }
}

/// Factors a Hessian that lies in one place; see `FactorPlan` for the steps.
///
/// A damping that is too small to make H positive definite is multiplied by ten (from 10^-6 at least) until it succeeds or `maximumFraction`
/// has failed too. Works on one [c, c] matrix of doubles besides the input and the result; c^3 / 6 multiplications.
/// - Parameters:
///   - hessian: [c, c], symmetric; only elements on and above the diagonal are read.
///   - wholeGroups: the width of groups that act-order keeps together; nil lets it move columns freely.
///   - precision: of the factorisation's products; fp32 becomes fp64 where it is not enough.
///   - isNarrowed: as `Factor`'s.
///   - scale: as `FactorPlan`'s, and so is `penalty`.
/// - Throws: `CompressionError`
public func factor(
    hessian: Matrix<Double>, dampingFraction: Double, maximumFraction: Double = 1, actOrder: Bool, wholeGroups: Int? = nil,
    precision: UpdatePrecision = .fp64, isNarrowed: Bool = false, scale: DampingScale = .mean,
    penalty: Double = 0
) throws(CompressionError) -> Factor {
    let columns = hessian.columns
    guard hessian.rows == columns else { throw .shape("a Hessian of \(hessian.rows) x \(columns) is not square") }
    try checkFinite(hessian)
    var plan = try FactorPlan(
        diagonal: (0..<columns).map { hessian[$0, $0] }, dampingFraction: dampingFraction, maximumFraction: maximumFraction, actOrder: actOrder,
        wholeGroups: wholeGroups, precision: precision, scale: scale, penalty: penalty)
    let work = Matrix<Double>(uninitialized: columns, columns)
    let panels = choleskyPanels(order: columns)
    func panel(_ range: Range<Int>) -> Matrix<Double> { work.rows(range.lowerBound..<columns).columns(range) }
    while true {
        for range in panels {
            plan.copy(range, of: hessian, into: panel(range))
            plan.damp(range, panel(range))
        }
        do throws(NotPositiveDefinite) {
            try choleskyLower(work, precision: plan.precision)
            for range in panels { try plan.checkPivots(range, panel(range)) }
            break
        } catch {
            try plan.prepareRetry(after: error)
        }
    }
    let r = Matrix<Float>(uninitializedUpperTriangle: columns)
    var diagonal = [Float](repeating: 0, count: columns)
    for range in panels {
        try plan.storeDiagonal(range, panel(range), into: &diagonal)
        plan.store(range, panel(range), into: plan.window(range, of: r))
    }
    return Factor(outline: plan.outline(diagonalOfR: diagonal), r: r, isNarrowed: isNarrowed)
}

private func checkFinite(_ hessian: Matrix<Double>) throws(CompressionError) {
    for row in 0..<hessian.rows {
        let values = UnsafeBufferPointer(start: hessian.row(row) + row, count: hessian.columns - row)
        // 0 x is NaN for every x that is not finite.
        guard values.reduce(0, { $0 + 0 * $1 }) != 0 else { continue }
        let column = values.firstIndex { !$0.isFinite } ?? 0
        throw .hessianNotFinite(row: row, column: row + column)
    }
}
