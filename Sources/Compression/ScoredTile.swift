// Pruning without updates: weights are scored as they stand, and those that are kept stay as they are.

import LinearAlgebra

/// A tile whose weights are compared by |w| times a factor of their column. Weights that are kept may be rounded to nearest on grids that fit them.
final class ScoredTile: PruningTile, @unchecked Sendable {
    let pruning: PruningOptions
    private let weights: Matrix<Float>
    private let tile: Tile
    private let scales: [Float]?
    private let content: TileContent
    private let factor: Factor?
    private let mask: Mask

    var rows: Int { tile.rows }
    var comparisons: [Range<Int>] { pruning.comparisons(columns: tile.columns) }

    /// - Parameters:
    ///   - weights: [rows, columns]
    ///   - scales: of the columns; nil: 1.
    ///   - factor: for `loss` and `energy`.
    init(
        weights: Matrix<Float>, scales: [Float]?, pruning: PruningOptions, content: TileContent, factor: Factor?
    ) throws(CompressionError) {
        try pruning.validate(columns: weights.columns, content)
        try factor?.checkOrder(weights)
        self.weights = weights
        self.scales = scales
        self.pruning = pruning
        self.content = content
        self.factor = factor
        tile = try Tile(weights, permutation: nil)
        mask = Mask(columns: tile.columns, lanes: tile.lanes)
    }

    func scores(_ columns: Range<Int>) -> Matrix<Float> { allScores(columns).columns(0..<rows) }

    /// [columns.count, lanes]
    private func allScores(_ columns: Range<Int>) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: columns.count, tile.lanes)
        for (index, column) in columns.enumerated() {
            let (w, score, scale) = (tile.weights.row(column), result.row(index), scales?[column] ?? 1)
            for lane in 0..<tile.lanes { score[lane] = w[lane].magnitude * scale }
        }
        return result
    }

    func prune(_ columns: Range<Int>, threshold: Float) {
        mask.choose(columns, allScores(columns), above: threshold)
    }

    func finish(measuringEnergy: Bool) throws(CompressionError) -> SolvedTile {
        let all = 0..<tile.columns
        switch (pruning.sparsity, pruning.scope) {
        case (.pattern(let pruned, let of), _): mask.choose(all, allScores(all), pruned: pruned, of: of)
        case (.share(let share), .rows): mask.chooseInRows(allScores(all), rows: rows, pruned: PruningOptions.prunedOfRow(columns: tile.columns, share: share))
        case (.share, _): break
        }
        let kept = tile.original(mask.kept)
        let pruned = Matrix<Float>(uninitialized: rows, tile.columns)
        for row in 0..<rows {
            let (source, target, mask) = (weights.row(row), pruned.row(row), kept.row(row))
            for column in all { target[column] = mask[column] == 0 ? 0 : source[column] }
        }
        switch content {
        case .values:
            let (loss, energy) = try errors(of: pruned, measuringEnergy: measuringEnergy)
            return .values(ValueTile(values: pruned, loss: loss, energy: energy))
        case .codes(let options):
            let rounded = try roundToNearest(weights: pruned, options: options)
            let decoded = Matrix<Float>(uninitialized: rows, tile.columns)
            rounded.dequantize(into: decoded)
            let (loss, energy) = try errors(of: decoded, measuringEnergy: measuringEnergy)
            return .codes(
                QuantizedTile(
                    codes: rounded.codes, scales: rounded.scales, zeros: rounded.zeros, group: rounded.group, groupOfColumn: rounded.groupOfColumn,
                    loss: loss, energy: energy, clampedScales: rounded.clampedScales))
        }
    }

    /// ||(w - q) R||^2 of each row and ||w R||^2 of the first ones; empty without a factor.
    private func errors(of result: Matrix<Float>, measuringEnergy: Bool) throws(CompressionError) -> (loss: [Double], energy: [Double]) {
        guard let factor else { return ([], []) }
        let differences = Matrix<Float>(uninitialized: rows, tile.columns)
        for row in 0..<rows {
            let (w, q, difference) = (weights.row(row), result.row(row), differences.row(row))
            for column in 0..<tile.columns { difference[column] = w[column] - q[column] }
        }
        let loss = factor.squaredNorms(try Tile(differences, permutation: nil).weights, rows: rows)
        return (loss, measuringEnergy ? factor.energies(tile) : [])
    }
}
