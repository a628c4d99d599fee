// What the Hessian-aware grid needs to know of groups whose columns do not follow each other.

public import LinearAlgebra

/// For each group, the factor of its own conditional error.
///
/// Let P be a group's positions in the order of quantization and S all the others. If the columns of S may take any value, each chosen after
/// the errors before it, they make their own part of e R zero, and what is left of the error is ||e_P M||^2 with
/// M = R_PP - R_PS R_SS^-1 R_SP, a Schur complement: M^-1 is the block PP of R^-1. For columns that follow each other M = R_PP.
public struct ScatteredGroups: @unchecked Sendable {
    /// Columns of a group.
    public let group: Int
    /// [columns, width]: M^T of each run of at most `width` columns of a group, one below the other; a run of b columns has its own b rows, of
    /// which it uses the first b elements.
    public let blocks: Matrix<Float>

    /// The width of `blocks`.
    public static func width(group: Int, columns: Int) -> Int {
        min(group, columns, GridSearch.runColumns)
    }

    /// For a factor that comes from another process.
    public init(group: Int, blocks: Matrix<Float>) {
        precondition(blocks.columns == Self.width(group: group, columns: blocks.rows), "\(blocks.columns) elements a row for groups of \(group)")
        self.group = group
        self.blocks = blocks
    }

    /// M^T of each run of a group's columns, contiguous.
    func runs(of group: Range<Int>) -> [Matrix<Float>] {
        group.cut(every: GridSearch.runColumns).map { blocks.rows($0).columns(0..<$0.count).copy() }
    }

    /// - Parameter reversedFactor: L, the Cholesky factor of the reversed matrix: R_ij = L_(c-1-i)(c-1-j). Overwritten by its inverse.
    init(group: Int, reversedFactor: Matrix<Double>, permutation: [Int]) {
        invertLower(reversedFactor)
        let columns = permutation.count
        let blocks = Matrix<Float>(repeating: 0, columns, Self.width(group: group, columns: columns))
        let groups = (0..<columns).cut(every: group)
        for (columns, positions) in zip(groups, positions(ofGroups: group, permutation)) {
            for run in columns.cut(every: GridSearch.runColumns) {
                let positions = positions[run.lowerBound - columns.lowerBound..<run.upperBound - columns.lowerBound]
                Self.conditionalFactor(reversedFactor, Array(positions), into: blocks.rows(run).columns(0..<run.count))
            }
        }
        self.init(group: group, blocks: blocks)
    }

    /// M^T = ((R^-1)_PP)^-T into [b, b].
    private static func conditionalFactor(_ reversedInverse: Matrix<Double>, _ positions: [Int], into transposed: Matrix<Float>) {
        let (last, size) = (reversedInverse.columns - 1, positions.count)
        // With the positions in descending order the block of the reversed inverse is lower triangular, as the helper wants it.
        let block = Matrix<Double>(repeating: 0, size, size)
        for i in 0..<size {
            for j in 0...i { block[i, j] = reversedInverse[last - positions[size - 1 - i], last - positions[size - 1 - j]] }
        }
        invertSmallLower(block)
        for i in 0..<size {
            for j in i..<size { transposed[j, i] = Float(block[size - 1 - i, size - 1 - j]) }
        }
    }
}

/// The positions of each group's columns, ascending.
func positions(ofGroups group: Int, _ permutation: [Int]) -> [[Int]] {
    var result = [[Int]](repeating: [], count: (permutation.count + group - 1) / group)
    for (position, column) in permutation.enumerated() { result[column / group].append(position) }
    return result
}

/// The inverse of a lower triangular matrix in place, block row by block row: X_I = L_II^-1 (I - L_I,<I X_<I). c^3 / 6 multiplications.
///
/// What lies above the diagonal is set to zero.
func invertLower(_ lower: Matrix<Double>) {
    let blocks = (0..<lower.rows).cut(every: 128)
    let product = Matrix<Double>(uninitialized: min(128, lower.rows), lower.columns)
    for block in blocks {
        let diagonal = lower.rows(block).columns(block)
        invertSmallLower(diagonal)
        let row = lower.rows(block), above = 0..<block.lowerBound
        // Each piece of columns starts where its rows of X begin to differ from zero.
        let pieces = above.cut(every: 512)
        parallelFor(pieces.count) { index in
            let piece = pieces[index], inner = piece.lowerBound..<above.upperBound
            multiply(row.columns(inner), lower.rows(inner).columns(piece), into: product.rows(0..<block.count).columns(piece))
        }
        parallelFor(pieces.count) { index in
            multiply(diagonal, product.rows(0..<block.count).columns(pieces[index]), into: row.columns(pieces[index]), alpha: -1)
        }
        for i in block { for j in i + 1..<max(lower.columns, i + 1) { lower[i, j] = 0 } }
    }
}

/// The inverse of a small lower triangular matrix in place, by forward substitution on the identity.
private func invertSmallLower(_ lower: Matrix<Double>) {
    for i in 0..<lower.rows {
        let inverse = 1 / lower[i, i]
        for j in 0..<i {
            var sum = 0.0
            for k in j..<i { sum += lower[i, k] * lower[k, j] }
            // Row i of L is still needed for smaller columns only, so it may be overwritten from the left.
            lower[i, j] = -sum * inverse
        }
        lower[i, i] = inverse
        for j in i + 1..<max(lower.columns, i + 1) { lower[i, j] = 0 }
    }
}
