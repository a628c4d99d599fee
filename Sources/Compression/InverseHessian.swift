// The inverse of the damped Hessian, from which rows of weights are solved in orders of their own.

import LinearAlgebra

/// H^-1 in fp64: a row's columns leave it by thousands of subtractions, of which fp32 would keep little.
public struct InverseHessian: @unchecked Sendable {
    /// [columns, columns]
    let values: Matrix<Double>
    /// 1 / H_jj, below which a diagonal element never falls, whichever columns have left.
    let leastDiagonal: [Double]
    /// The diagonal as masks weigh columns against each other: for dead columns the median of the others, as in `FactorOutline.comparedDiagonal`.
    let comparedDiagonal: [Double]

    /// - Parameter factor: made without act-order.
    public init(_ factor: Factor) {
        precondition(factor.permutation == nil, "the inverse of a Hessian whose columns were moved")
        let values = inverseOfSquare(factor.r)
        self.values = values
        leastDiagonal = factor.outline.dampedDiagonal.map { 1 / $0 }
        var diagonal = (0..<factor.columns).map { values[$0, $0] }
        let dead = Set(factor.deadColumns)
        let others = diagonal.indices.filter { !dead.contains($0) }.map { diagonal[$0] }.sorted()
        for column in dead { diagonal[column] = others.isEmpty ? 1 : others[others.count / 2] }
        comparedDiagonal = diagonal
    }

    public var columns: Int { values.rows }

    /// Multiplications and additions of making it.
    package static func operations(columns: Int) -> Double { 2 * Double(columns) * Double(columns) * Double(columns) }
    /// Bytes that it takes, and those that making it takes besides.
    package static func byteCount(columns: Int) -> Int { 8 * columns * columns }
    package static func workByteCount(columns: Int) -> Int { 8 * columns * columns }
}
