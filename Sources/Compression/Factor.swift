// The factor of the damped Hessian, in the order in which columns are quantized.

public import LinearAlgebra

/// What is known of a factor wherever its R lies.
public struct FactorOutline: Sendable {
    /// Position in the order of quantization -> column; nil when they are the same.
    public let permutation: [Int]?
    /// Columns whose input was always zero.
    public let deadColumns: [Int]
    /// The Hessian's diagonal by column, without damping.
    public let diagonal: [Double]
    /// The diagonal of what was factored, by column.
    let dampedDiagonal: [Double]
    /// What was added to the diagonal; with `DampingScale.column`, to that of dead columns.
    public let damping: Double
    /// `damping` as a fraction of the mean of the diagonal.
    public let dampingFraction: Double
    /// Dampings tried; each that failed was raised.
    public let attempts: Int
    /// R_jj, in the order of quantization.
    public let diagonalOfR: [Float]
    /// R_jj as grids and masks weigh columns against each other, in the order of quantization: for dead columns the median of the others.
    ///
    /// Nothing is known of a dead column's inputs, so it counts as much as the column in the middle: its weights are ranked by their magnitude, and a
    /// group's grid has to serve them as well. The damping alone, which is their R_jj^2, would prune them first and let grids cut them off.
    package let comparedDiagonal: [Float]

    init(
        permutation: [Int]?, deadColumns: [Int], diagonal: [Double], dampedDiagonal: [Double], damping: Double, dampingFraction: Double, attempts: Int,
        diagonalOfR: [Float]
    ) {
        self.permutation = permutation
        self.deadColumns = deadColumns
        self.diagonal = diagonal
        self.dampedDiagonal = dampedDiagonal
        self.damping = damping
        self.dampingFraction = dampingFraction
        self.attempts = attempts
        self.diagonalOfR = diagonalOfR
        comparedDiagonal = withTypicalValues(diagonalOfR, at: Self.positions(of: deadColumns, permutation))
    }

    public var columns: Int { diagonalOfR.count }

    /// Where the dead columns are in the order of quantization.
    package var deadPositions: [Int] { Self.positions(of: deadColumns, permutation) }

    /// sqrt(H_jj), the norm of a column's inputs, by column; for dead columns the median of the others, as in `comparedDiagonal`.
    package var inputNorms: [Float] { withTypicalValues(diagonal.map { Float($0.squareRoot()) }, at: deadColumns) }

    /// The square roots of `dampedDiagonal`; for dead columns again the median of the others.
    var dampedNorms: [Float] { withTypicalValues(dampedDiagonal.map { Float($0.squareRoot()) }, at: deadColumns) }

    private static func positions(of deadColumns: [Int], _ permutation: [Int]?) -> [Int] {
        guard let permutation else { return deadColumns }
        let dead = Set(deadColumns)
        return permutation.indices.filter { dead.contains(permutation[$0]) }
    }
}

/// The values with those at some places replaced by the median of the others, the upper one of two.
private func withTypicalValues(_ values: [Float], at places: [Int]) -> [Float] {
    guard !places.isEmpty else { return values }
    var result = values
    let replaced = Set(places)
    let others = values.indices.filter { !replaced.contains($0) }.map { values[$0] }.sorted()
    for place in places { result[place] = others.isEmpty ? 1 : others[others.count / 2] }
    return result
}

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
    public init(outline: FactorOutline, r: Matrix<Float>, isNarrowed: Bool = false) {
        precondition(r.rows == outline.columns && r.columns == outline.columns, "[\(r.rows), \(r.columns)] for a factor of \(outline.columns)")
        self.outline = outline
        self.r = r
        narrowed = isNarrowed ? NarrowedColumns(0..<r.columns, r, of: r.columns) : nil
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
