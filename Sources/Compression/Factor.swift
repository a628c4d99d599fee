// The factor of the damped Hessian, in the order in which columns are quantized.

public import LinearAlgebra

/// H + damping = R R^T, R upper triangular.
///
/// The published column loop uses U with H^-1 = U^T U. It is U = R^-1, so R serves the same loop without the inverse (see `ColumnLoop`).
public struct Factor: @unchecked Sendable {
    /// R: [columns, columns], in the order of quantization, zeros below the diagonal.
    public let r: Matrix<Float>
    /// Position in the order of quantization -> column; nil when they are the same.
    public let permutation: [Int]?
    /// Columns whose input was always zero.
    public let deadColumns: [Int]
    /// What was added to the diagonal.
    public let damping: Double
    /// `damping` as a fraction of the mean of the diagonal.
    public let dampingFraction: Double
    /// Factorisations tried; each failed one raised the damping.
    public let attempts: Int

    /// A factor that was made elsewhere: in pieces over ranks, or by `factor` in another process.
    public init(r: Matrix<Float>, permutation: [Int]?, deadColumns: [Int], damping: Double, dampingFraction: Double, attempts: Int) {
        self.r = r
        self.permutation = permutation
        self.deadColumns = deadColumns
        self.damping = damping
        self.dampingFraction = dampingFraction
        self.attempts = attempts
    }

    public var columns: Int { r.columns }

    /// Where the dead columns are in the order of quantization.
    package var deadPositions: [Int] {
        guard let permutation else { return deadColumns }
        let dead = Set(deadColumns)
        return permutation.indices.filter { dead.contains(permutation[$0]) }
    }
}

/// Factors a Hessian. The steps are those of `gptq.py`, in its order: dead columns get a diagonal of 1, act-order sorts by descending diagonal
/// (ties by lower index), the damping is a fraction of the mean of the diagonal.
///
/// A damping that is too small to make H positive definite is multiplied by ten (from 10^-6 at least) until it succeeds or `maximumFraction`
/// has failed too. Works on one [c, c] matrix of doubles besides the input and the result; c^3 / 6 multiplications.
/// - Parameters:
///   - hessian: [c, c], symmetric; only elements on and above the diagonal are read.
///   - wholeGroups: the width of groups that act-order keeps together; nil lets it move columns freely.
/// - Throws: `CompressionError`
public func factor(
    hessian: Matrix<Double>, dampingFraction: Double, maximumFraction: Double = 1, actOrder: Bool, wholeGroups: Int? = nil
) throws(CompressionError) -> Factor {
    let columns = hessian.columns
    guard hessian.rows == columns else { throw .shape("a Hessian of \(hessian.rows) x \(columns) is not square") }
    guard dampingFraction >= 0, maximumFraction.isFinite, dampingFraction <= maximumFraction else {
        throw .options("the damping fraction \(dampingFraction) is not between 0 and \(maximumFraction)")
    }
    try checkFinite(hessian)

    var diagonal = (0..<columns).map { hessian[$0, $0] }
    let dead = diagonal.indices.filter { diagonal[$0] == 0 }
    for column in dead { diagonal[column] = 1 }
    let permutation = actOrder ? orderOfActivations(diagonal, wholeGroups: wholeGroups) : nil
    let mean = columns == 0 ? 0 : diagonal.reduce(0, +) / Double(columns)

    let work = Matrix<Double>(uninitialized: columns, columns)
    var (fraction, attempts) = (dampingFraction, 1)
    while true {
        reverse(hessian, diagonal: diagonal.map { $0 + fraction * mean }, permutation: permutation, into: work)
        do {
            try choleskyLower(work)
            break
        } catch {
            guard fraction < maximumFraction else {
                let position = columns - 1 - error.index
                throw .notPositiveDefinite(column: permutation?[position] ?? position, dampingFraction: fraction, attempts: attempts)
            }
            fraction = min(max(fraction * 10, 1e-6), maximumFraction)
            attempts += 1
        }
    }
    return Factor(
        r: try upperFactor(work), permutation: permutation, deadColumns: dead, damping: fraction * mean, dampingFraction: fraction,
        attempts: attempts)
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

private func checkFinite(_ hessian: Matrix<Double>) throws(CompressionError) {
    for row in 0..<hessian.rows {
        let values = UnsafeBufferPointer(start: hessian.row(row) + row, count: hessian.columns - row)
        // 0 x is NaN for every x that is not finite.
        guard values.reduce(0, { $0 + 0 * $1 }) != 0 else { continue }
        let column = values.firstIndex { !$0.isFinite } ?? 0
        throw .hessianNotFinite(row: row, column: row + column)
    }
}

/// The lower triangle of the damped Hessian with its rows and columns permuted and then reversed: its Cholesky factor, reversed, is R.
private func reverse(_ hessian: Matrix<Double>, diagonal: [Double], permutation: [Int]?, into work: Matrix<Double>) {
    let last = hessian.columns - 1
    parallelFor(hessian.columns) { i in
        let target = work.row(i)
        if let permutation {
            let row = permutation[last - i]
            for j in 0...i {
                let column = permutation[last - j]
                target[j] = hessian.base[min(row, column) * hessian.stride + max(row, column)]
            }
            target[i] = diagonal[row]
        } else {
            let source = hessian.row(last - i)
            for j in 0...i { target[j] = source[last - j] }
            target[i] = diagonal[last - i]
        }
    }
}

/// R from the Cholesky factor L of the reversed matrix: R_ij = L_(c-1-i)(c-1-j).
private func upperFactor(_ lower: Matrix<Double>) throws(CompressionError) -> Matrix<Float> {
    let last = lower.columns - 1
    for position in 0..<lower.columns {
        let value = lower[last - position, last - position]
        guard Float(value).isNormal else { throw .factorOutOfRange(column: position, value: value) }
    }
    let r = Matrix<Float>(uninitialized: lower.columns, lower.columns)
    parallelFor(lower.columns) { i in
        let (source, target) = (lower.row(last - i), r.row(i))
        for j in 0..<i { target[j] = 0 }
        for j in i...last { target[j] = Float(source[last - j]) }
    }
    return r
}
