// How many directions of a linear's inputs the calibration has shown.

public import LinearAlgebra

/// The effective rank of a Hessian: how many directions its inputs fill as evenly as uncorrelated ones would.
///
///     n^2 / (sum over i, j of C_ij^2),   C_ij = H_ij / sqrt(H_ii H_jj)
///
/// with n the columns that are not dead. C is the Hessian of inputs that are scaled to one size, so that a few columns of large inputs hide no others.
/// This is the participation ratio of its eigenvalues, (sum of lambda)^2 / (sum of lambda^2): n where the columns are uncorrelated, 1 where all inputs are
/// multiples of one, and never more than there were different inputs.
public struct EffectiveRank: Sendable {
    private let liveColumns: Int
    /// Twice the sum of C_ij^2 over each panel's elements below the diagonal. Each panel's owner knows its own; the others' are 0 until they are added.
    public var panelSums: [Double]

    public init(_ plan: FactorPlan) {
        liveColumns = plan.columns - plan.deadColumns.count
        panelSums = Array(repeating: 0, count: choleskyPanels(order: plan.columns).count)
    }

    /// The effective rank, once the sums of all panels are there; they are added in the order of the panels, so it is the same for any owners.
    public var value: Double {
        let n = Double(liveColumns)
        return n * n / (n + panelSums.reduce(0, +))
    }
}

extension FactorPlan {
    /// What a panel adds to `EffectiveRank.panelSums`.
    /// - Parameters:
    ///   - range: columns of the matrix.
    ///   - panel: [rows from the diagonal on, range.count], not damped yet.
    public func squaredCorrelations(_ range: Range<Int>, _ panel: Matrix<Double>) -> Double {
        let inverses = (range.lowerBound..<columns).map { index in
            let value = undampedDiagonal(at: index)
            return value > 0 ? 1 / value : 0
        }
        let sums = Matrix<Double>(uninitialized: 1, panel.rows)
        parallelFor(panel.rows, inUnitsOf: 64) { rows in
            inverses.withUnsafeBufferPointer { inverses in
                for i in rows { sums.base[i] = inverses[i] * weightedSquares(UnsafeBufferPointer(start: panel.row(i), count: min(i, range.count)), inverses) }
            }
        }
        return 2 * sums.elements().reduce(0, +)
    }
}

/// The sum of x_j^2 w_j, in an order that follows from the number of x alone.
private func weightedSquares(_ x: UnsafeBufferPointer<Double>, _ weights: UnsafeBufferPointer<Double>) -> Double {
    func lanes(_ values: UnsafeBufferPointer<Double>, _ start: Int) -> SIMD8<Double> {
        UnsafeRawPointer(values.baseAddress! + start).loadUnaligned(as: SIMD8<Double>.self)
    }
    var sums = SIMD8<Double>.zero
    let whole = x.count / 8 * 8
    for start in stride(from: 0, to: whole, by: 8) {
        let values = lanes(x, start)
        sums += values * values * lanes(weights, start)
    }
    return (whole..<x.count).reduce(sums.sum()) { $0 + x[$1] * x[$1] * weights[$1] }
}
