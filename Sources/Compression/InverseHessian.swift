// The inverse of the damped Hessian, from which rows of weights are solved in orders of their own.

import LinearAlgebra

/// H^-1 in fp64: a row's columns leave it by thousands of subtractions, of which fp32 would keep little.
public struct InverseHessian: @unchecked Sendable {
    /// [columns, columns]
    let values: Matrix<Double>
    /// 1 / H_jj, below which a diagonal element never falls, whichever columns have left; of dead columns no more than what they are compared by.
    let leastDiagonal: [Double]
    /// The diagonal as masks weigh columns against each other. Dead columns, whose own is the damping's, count as much as a column in the middle does when
    /// half of the others have left: 1 / R_jj^2 of `FactorOutline.comparedDiagonal`.
    let comparedDiagonal: [Double]

    /// - Parameter factor: made without act-order.
    public init(_ factor: Factor) {
        precondition(factor.permutation == nil, "the inverse of a Hessian whose columns were moved")
        let values = inverseOfSquare(factor.r)
        self.values = values
        var least = factor.outline.dampedDiagonal.map { 1 / $0 }
        var diagonal = (0..<factor.columns).map { values[$0, $0] }
        for column in factor.deadColumns {
            let r = Double(factor.outline.comparedDiagonal[column])
            diagonal[column] = 1 / (r * r)
            least[column] = min(least[column], diagonal[column])
        }
        leastDiagonal = least
        comparedDiagonal = diagonal
    }

    public var columns: Int { values.rows }

    /// Multiplications and additions of making it.
    package static func operations(columns: Int) -> Double { 2 * Double(columns) * Double(columns) * Double(columns) }
    /// Bytes that it takes, and those that making it takes besides.
    package static func byteCount(columns: Int) -> Int { 8 * columns * columns }
    package static func workByteCount(columns: Int) -> Int { 8 * columns * columns }
}
