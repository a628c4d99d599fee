// What is decided about a Hessian before it is factored, from its diagonal alone: dead columns, order, damping.

public import LinearAlgebra

/// What the damping of a Hessian is a share of.
public enum DampingScale: Sendable {
    /// The mean of the diagonal (GPTQ): all columns get the same.
    case mean
    /// Each column's own element of the diagonal (ADMM), whatever the size of its inputs; dead columns get a share of the mean.
    case column
}

/// How a Hessian becomes the matrix whose Cholesky factor is R.
///
/// The steps are those of `gptq.py`, in its order: act-order sorts by descending diagonal (ties by lower index), the damping is a fraction of the mean of
/// the diagonal. The matrix is the damped Hessian with its rows and columns permuted and then reversed: its lower Cholesky factor, reversed, is R. It may
/// be made and factored panel by panel, on several ranks.
///
/// Dead columns are those whose input was always zero. `gptq.py` erases their weights, which destroys a model on texts that do reach them; here they are
/// columns like others: their diagonal is the damping alone, the mean is that of the other columns, and since H_ij = 0 they see no errors and cause none,
/// so that each weight becomes the nearest point of its group's grid. See `FactorOutline.comparedDiagonal` for what they count in grids and masks.
public struct FactorPlan: Sendable {
    /// Columns whose input was always zero.
    public let deadColumns: [Int]
    /// Position in the order of quantization -> column; nil when they are the same.
    public let permutation: [Int]?
    /// The Hessian's diagonal by column.
    private let diagonal: [Double]
    /// The mean of the diagonal of columns that are not dead: the damping is a fraction of it.
    private let mean: Double
    private let maximumFraction: Double
    private let scale: DampingScale
    /// Share of each damped diagonal element that is added to it as well.
    private let penalty: Double
    /// The damping as a fraction of the mean of the diagonal; raised by `raiseDamping`.
    public private(set) var dampingFraction: Double
    /// What products of the factorisation are computed in.
    public private(set) var precision: UpdatePrecision
    /// Dampings tried, this one included.
    public private(set) var attempts = 1

    /// - Parameters:
    ///   - diagonal: of the whole Hessian.
    ///   - maximumFraction: the largest damping that is tried.
    ///   - wholeGroups: the width of groups that act-order keeps together; nil lets it move columns freely.
    ///   - precision: of the factorisation's products; fp32 becomes fp64 where it is not enough.
    ///   - scale: what the damping fraction is one of.
    ///   - penalty: share of each damped diagonal element that is added to it as well: ADMM's rho, see `ADMM`.
    /// - Throws: `CompressionError` for numbers that are not finite, for a diagonal of zeros, and for a damping out of range.
    public init(
        diagonal: [Double], dampingFraction: Double, maximumFraction: Double = 1, actOrder: Bool, wholeGroups: Int? = nil,
        precision: UpdatePrecision = .fp64, scale: DampingScale = .mean, penalty: Double = 0
    ) throws(CompressionError) {
        guard dampingFraction >= 0, maximumFraction.isFinite, dampingFraction <= maximumFraction else {
            throw .options("the damping fraction \(dampingFraction) is not between 0 and \(maximumFraction)")
        }
        // No element of a sum of x x^T is larger than the larger of its two diagonal ones.
        if let column = diagonal.firstIndex(where: { !$0.isFinite }) { throw .hessianNotFinite(row: column, column: column) }
        deadColumns = diagonal.indices.filter { diagonal[$0] == 0 }
        guard diagonal.isEmpty || deadColumns.count < diagonal.count else { throw .noInput(columns: diagonal.count) }
        permutation = actOrder ? orderOfActivations(diagonal, wholeGroups: wholeGroups) : nil
        mean = diagonal.isEmpty ? 0 : diagonal.reduce(0, +) / Double(diagonal.count - deadColumns.count)
        self.diagonal = diagonal
        self.maximumFraction = maximumFraction
        self.scale = scale
        self.penalty = penalty
        self.dampingFraction = dampingFraction
        self.precision = precision
    }

    public var columns: Int { diagonal.count }

    /// After a failed factorisation: computes products in fp64, or when they were, multiplies the damping by ten (10^-6 at least).
    /// - Throws: `CompressionError.notPositiveDefinite` when the largest has been tried.
    public mutating func prepareRetry(after failure: NotPositiveDefinite) throws(CompressionError) {
        guard precision == .fp64 else {
            precision = .fp64
            return
        }
        guard dampingFraction < maximumFraction else {
            throw .notPositiveDefinite(column: column(of: failure.index), dampingFraction: dampingFraction, attempts: attempts)
        }
        dampingFraction = min(max(dampingFraction * 10, 1e-6), maximumFraction)
        attempts += 1
    }

    /// The Hessian's diagonal at a row or column of the matrix.
    func undampedDiagonal(at index: Int) -> Double { diagonal[column(of: index)] }

    /// The Hessian's column at a row or column of the matrix.
    func column(of index: Int) -> Int {
        let position = columns - 1 - index
        return permutation?[position] ?? position
    }

    /// Copies a panel of the matrix without its damping.
    /// - Parameters:
    ///   - range: columns of the matrix.
    ///   - hessian: [c, c]; only elements on and above the diagonal are read.
    ///   - panel: [rows from the diagonal on, range.count]; what lies above the diagonal is undefined.
    public func copy(_ range: Range<Int>, of hessian: Matrix<Double>, into panel: Matrix<Double>) {
        parallelFor(panel.rows) { i in
            let (target, row) = (panel.row(i), column(of: range.lowerBound + i))
            for j in 0..<min(i + 1, range.count) {
                let column = column(of: range.lowerBound + j)
                target[j] = hessian.base[min(row, column) * hessian.stride + max(row, column)]
            }
        }
    }

    /// Sets the diagonal of a panel: the Hessian's own, damped and penalised.
    public func damp(_ range: Range<Int>, _ panel: Matrix<Double>) {
        for j in range.indices { panel[j - range.lowerBound, j - range.lowerBound] = dampedDiagonal(at: j) }
    }

    private func dampedDiagonal(at index: Int) -> Double { dampedDiagonal(diagonal[column(of: index)]) }

    private func dampedDiagonal(_ element: Double) -> Double {
        (element + dampingFraction * (scale == .column && element > 0 ? element : mean)) * (1 + penalty)
    }

    /// Checks a factored panel's diagonal where products are in fp32: an R_jj^2 that is so much smaller than the matrix's own element that fp32 leaves
    /// less than eight bits of it is as bad as one that is not positive.
    public func checkPivots(_ range: Range<Int>, _ panel: Matrix<Double>) throws(NotPositiveDefinite) {
        guard precision == .fp32 else { return }
        for j in range {
            let value = panel[j - range.lowerBound, j - range.lowerBound]
            guard value * value * 0x1p16 >= dampedDiagonal(at: j) else { throw NotPositiveDefinite(index: j) }
        }
    }

    /// What is known of the factor, once it is made.
    /// - Parameter diagonalOfR: in the order of quantization.
    public func outline(diagonalOfR: [Float]) -> FactorOutline {
        FactorOutline(
            permutation: permutation, deadColumns: deadColumns, diagonal: diagonal, dampedDiagonal: diagonal.map(dampedDiagonal),
            damping: dampingFraction * mean, dampingFraction: dampingFraction, attempts: attempts, diagonalOfR: diagonalOfR)
    }

    /// The columns of R that come from a panel of the matrix, whose order is the reverse one.
    public func columnsOfR(_ range: Range<Int>) -> Range<Int> {
        columns - range.upperBound..<columns - range.lowerBound
    }

    /// Where a panel's columns lie in the whole of R.
    func window(_ range: Range<Int>, of r: Matrix<Float>) -> Matrix<Float> {
        r.rows(0..<columns - range.lowerBound).columns(columnsOfR(range))
    }

    /// Puts a factored panel's diagonal into that of R.
    /// - Throws: `CompressionError` for a number that fp32 cannot hold.
    public func storeDiagonal(
        _ range: Range<Int>, _ panel: Matrix<some BinaryFloatingPoint>, into diagonal: inout [Float]
    ) throws(CompressionError) {
        for j in range {
            let value = panel[j - range.lowerBound, j - range.lowerBound]
            guard Float(value).isNormal else { throw .factorOutOfRange(column: columns - 1 - j, value: Double(value)) }
            diagonal[columns - 1 - j] = Float(value)
        }
    }

    /// Turns a factored panel into columns of R: R_ij = L_(c-1-i)(c-1-j). Fills the upper triangle, not what lies below it.
    /// - Parameters:
    ///   - r: the columns `columnsOfR(range)` of R, down to the diagonal: [columns.upperBound, columns.count]
    ///   - share: this process takes one row of so many, from its number on; others take the rest.
    @specialized(where Element == Double)
    @specialized(where Element == Float)
    public func store<Element: BinaryFloatingPoint & SendableMetatype>(
        _ range: Range<Int>, _ panel: Matrix<Element>, into r: Matrix<Float>, share: (index: Int, count: Int) = (0, 1)
    ) {
        precondition(r.rows == panel.rows && r.columns == range.count, "[\(r.rows), \(r.columns)] for a panel of [\(panel.rows), \(range.count)]")
        parallelFor((panel.rows - share.index + share.count - 1) / share.count) { unit in
            let i = share.index + unit * share.count
            let (source, target) = (panel.row(i), r.row(panel.rows - 1 - i))
            for j in 0..<min(i + 1, range.count) { target[range.count - 1 - j] = Float(source[j]) }
        }
    }
}

/// Columns by descending diagonal, ties by lower index.
///
/// With `wholeGroups` the groups are sorted by the sum of their diagonals, and the columns inside each, so that a group's grid can be found when
/// the column loop reaches it and still belongs to neighbouring columns (GPTQModel's group-aware reordering has the same aim). A short last
/// group stays last, so that every group begins at a multiple of the width.
private func orderOfActivations(_ diagonal: [Double], wholeGroups: Int?) -> [Int] {
    func descending(_ columns: Range<Int>) -> [Int] { columns.sorted { (-diagonal[$0], $0) < (-diagonal[$1], $1) } }
    guard let width = wholeGroups else { return descending(diagonal.indices) }
    let groups = diagonal.indices.cut(every: width)
    let whole = groups.filter { $0.count == width }
    let sums = whole.map { group in group.reduce(0) { $0 + diagonal[$1] } }
    let order = whole.indices.sorted { (-sums[$0], $0) < (-sums[$1], $1) }
    return order.flatMap { descending(whole[$0]) } + groups.filter { $0.count < width }.flatMap(descending)
}
