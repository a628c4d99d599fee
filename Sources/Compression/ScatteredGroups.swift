// What the Hessian-aware grid needs to know of groups whose columns do not follow each other.

import LinearAlgebra

/// For each group, the factor of its own conditional error.
///
/// Let P be a group's positions in the order of quantization and S all the others. If the columns of S may take any value, each chosen after
/// the errors before it, they make their own part of e R zero, and what is left of the error is ||e_P M||^2 with
/// M = R_PP - R_PS R_SS^-1 R_SP, a Schur complement: M^-1 is the block PP of R^-1. For columns that follow each other M = R_PP.
struct ScatteredGroups {
    let group: Int
    /// group -> M^T of each run of at most `GridSearch.runColumns` of its columns.
    let transposed: [[Matrix<Float>]]

    /// Matrices of the right shapes whose elements wait to be filled.
    init(uninitialized group: Int, permutation: [Int]) {
        self.group = group
        transposed = positions(ofGroups: group, permutation).map { positions in
            positions.indices.cut(every: GridSearch.runColumns).map { Matrix(uninitialized: $0.count, $0.count) }
        }
    }

    /// - Parameter reversedFactor: L, the Cholesky factor of the reversed matrix: R_ij = L_(c-1-i)(c-1-j). Overwritten by its inverse.
    init(group: Int, reversedFactor: Matrix<Double>, permutation: [Int]) {
        invertLower(reversedFactor)
        let last = permutation.count - 1
        self.group = group
        transposed = positions(ofGroups: group, permutation).map { positions in
            positions.indices.cut(every: GridSearch.runColumns).map { run in
                let run = Array(positions[run])
                // Reversing makes the block PP of R^-1 lower triangular; its inverse reversed back is M.
                let block = Matrix<Double>(repeating: 0, run.count, run.count)
                for (i, p) in run.reversed().enumerated() {
                    for (j, q) in run.reversed()[...i].enumerated() { block[i, j] = reversedFactor[last - p, last - q] }
                }
                invertSmallLower(block)
                let result = Matrix<Float>(repeating: 0, run.count, run.count)
                for i in run.indices { for j in i..<run.count { result[j, i] = Float(block[run.count - 1 - i, run.count - 1 - j]) } }
                return result
            }
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
