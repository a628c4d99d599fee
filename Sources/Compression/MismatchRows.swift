// How a mismatch shifts weights: rows of M (H + damping)^-1, solved with panels of R.

public import LinearAlgebra

/// Some rows of S = M (H + damping)^-1, for M = D^T X̂ and H = X̂^T X̂, where X̂ is the input that the compressed model gives a linear, and D what of the
/// dense model differs from the compressed one: the linear's input, or the residual stream that its outputs join.
///
/// S is the least-squares map from X̂ to the mismatch: D is about X̂ S^T. With X the dense model's input and D = X - X̂, a linear that shall give on X̂ what
/// W gave on X therefore begins with W + W S instead of W (QEP, arXiv 2504.09629, equation 6; Qronos, arXiv 2505.11695, proves the same of its own steps);
/// one whose outputs shall make up for a stream that is off by D begins with S more (LoaQ, arXiv 2509.06297). With H + damping = R R^T every row is two
/// triangular systems, Y R^T = M from the last columns to the first, and S R = Y from the first to the last. Rows are independent of each other.
public final class MismatchRows {
    /// In the order of quantization: [rows, columns]
    private let values: Matrix<Float>
    private let permutation: [Int]?
    /// Of each row, what the map explains of its column's mismatch: S_i M_i = ||Y_i||^2, a sum over tokens.
    private var explained: [Double] = []

    /// Rows that one thread solves: a fixed number, since the shape of a product decides its bits.
    private static let rowsAtOnce = 64
    /// Columns of R in a panel.
    public static let panelColumns = choleskyTileSize

    /// - Parameters:
    ///   - mismatch: rows of M, in the original order of columns: [rows, columns]
    ///   - factor: of H.
    public init(_ mismatch: Matrix<Float>, factor: FactorOutline) {
        precondition(mismatch.columns == factor.columns, "[\(mismatch.rows), \(mismatch.columns)] for a factor of \(factor.columns)")
        let (order, values) = (factor.permutation, Matrix<Float>(uninitialized: mismatch.rows, mismatch.columns))
        permutation = order
        parallelFor(values.rows) { row in
            let (source, target) = (mismatch.row(row), values.row(row))
            for position in 0..<values.columns { target[position] = source[order?[position] ?? position] }
        }
        self.values = values
    }

    /// The panels of R in the order in which `takeBackward` wants them; `takeForward` wants the reverse.
    public static func panels(columns: Int) -> [Range<Int>] {
        (0..<columns).cut(every: panelColumns).reversed()
    }

    /// Y R^T = M, for the columns of a panel: those after them must be solved.
    public func takeBackward(_ panel: FactorPanel) {
        let (before, own) = (0..<panel.columns.lowerBound, panel.columns)
        forEachRows { values in
            divide(values.columns(own), by: panel.block(own, own), transposed: true)
            guard !before.isEmpty else { return }
            multiply(values.columns(own), panel.block(before, own), transposeB: true, into: values.columns(before), alpha: -1, beta: 1)
        }
    }

    /// S R = Y, for the columns of a panel: those before them must be solved.
    public func takeForward(_ panel: FactorPanel) {
        if panel.columns.lowerBound == 0 { explained = values.squaredNorms() }
        let (before, own) = (0..<panel.columns.lowerBound, panel.columns)
        forEachRows { values in
            if !before.isEmpty { multiply(values.columns(before), panel.block(before, own), into: values.columns(own), alpha: -1, beta: 1) }
            divide(values.columns(own), by: panel.block(own, own), transposed: false)
        }
    }

    /// The rows of S in the original order of columns, each times the share that it explains of its column's mismatch.
    ///
    /// That share is the coefficient of determination, 0 where the mismatch is noise that no linear map of X̂ foresees, 1 where it foresees all of it: what
    /// calibration text does not show is not corrected for (CoreQ, arXiv 2602.05902, has the same share for a whole linear).
    /// - Parameter squares: of each row, the sum of d^2 of its column over all tokens.
    public func finish(squares: [Double]) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: values.rows, values.columns)
        let (values, order) = (values, permutation)
        let shares = zip(explained, squares).map { $1 > 0 ? Float(min($0 / $1, 1)) : 0 }
        parallelFor(values.rows) { row in
            let (source, target) = (values.row(row), result.row(row))
            for position in 0..<values.columns { target[order?[position] ?? position] = source[position] * shares[row] }
        }
        return result
    }

    /// Multiplications and additions of the two triangular systems of some rows.
    public static func operations(rows: Int, columns: Int) -> Double { 2 * Double(rows) * Double(columns) * Double(columns) }

    private func forEachRows(_ body: @Sendable (Matrix<Float>) -> Void) {
        let values = values
        parallelFor(values.rows, inUnitsOf: Self.rowsAtOnce) { body(values.rows($0)) }
    }
}

extension Matrix<Float> {
    fileprivate func squaredNorms() -> [Double] {
        parallelMap(rows) { row in
            let values = self.row(row)
            return (0..<columns).reduce(0.0) { $0 + Double(values[$1]) * Double(values[$1]) }
        }
    }
}
