// What is known of a factor wherever its R lies: order, damping, diagonals.

internal import LinearAlgebra

/// What is known of a factor, on every rank.
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

    /// Whether a tile can be quantized with the factor.
    /// - Parameter weights: [rows, columns]
    func check(_ weights: Matrix<Float>, _ options: QuantizationOptions) throws(CompressionError) {
        guard weights.columns == columns else {
            throw .shape("a tile of \(weights.columns) columns and the factor of \(columns)")
        }
        guard options.actOrder == (permutation != nil) else {
            throw .missingFactor("it was made with act-order \(permutation == nil ? "off" : "on"), but the options ask for the opposite")
        }
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
