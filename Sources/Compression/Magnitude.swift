// Pruning by magnitude: the baseline that knows nothing of the layer's inputs.

public import LinearAlgebra

/// A tile whose smallest weights become zero; the others are kept as they are, or rounded to nearest.
///
/// As SparseGPT's repository measures it against (`opt.py`, `--gmp`): the threshold is that of the whole layer when `pruning` says so.
/// - Parameters:
///   - weights: [rows, columns]
///   - factor: made without act-order, for `loss` and `energy`; nil when there is none.
/// - Throws: `CompressionError`
public func magnitude(
    weights: Matrix<Float>, pruning: PruningOptions, content: TileContent, factor: Factor? = nil
) throws(CompressionError) -> some PruningTile {
    try ScoredTile(weights: weights, scales: nil, pruning: pruning, content: content, factor: factor)
}
