// Wanda (Sun et al., ICLR 2024): pruning by magnitude times the size of the input, row by row.

public import LinearAlgebra

/// A tile whose weights of the smallest |w| sqrt(diag H) become zero; the others are kept as they are, or rounded to nearest.
///
/// The square root of a diagonal element of H, the sum of X^T X, is the norm of a column of inputs; its scale is the same for all weights that are
/// compared. A column whose input was always zero has the median norm of the others, so that its weights are ranked by their magnitude.
/// - Parameters:
///   - weights: [rows, columns]
///   - factor: made without act-order; its Hessian's diagonal is what counts, the rest is for `loss` and `energy`.
/// - Throws: `CompressionError`
public func wanda(
    weights: Matrix<Float>, factor: Factor, pruning: PruningOptions, content: TileContent
) throws(CompressionError) -> some PruningTile {
    try ScoredTile(
        weights: weights, scales: factor.outline.inputNorms, pruning: pruning, content: content, factor: factor)
}
