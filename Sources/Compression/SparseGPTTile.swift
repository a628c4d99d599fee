// A tile on its way through SparseGPT: from one comparison of scores to the next.

public import LinearAlgebra

/// A tile of rows of one layer on its way through SparseGPT; see `SparseGPT`.
public final class SparseGPTTile: PruningTile, @unchecked Sendable {
    public let pruning: PruningOptions
    private let tile: Tile
    private let factor: Factor
    private let loop: ColumnLoop
    private let method: SparseGPT
    /// Of the comparison at hand: [columns, lanes]
    private var lastScores: Matrix<Float>?

    public var rows: Int { tile.rows }
    public var comparisons: [Range<Int>] { pruning.comparisons(columns: tile.columns) }

    /// - Parameters:
    ///   - weights: [rows, columns]. Those of columns whose input was always zero are ranked by their magnitude, see `FactorOutline.comparedDiagonal`.
    ///   - factor: made without act-order.
    /// - Throws: `CompressionError`
    public init(weights: Matrix<Float>, factor: Factor, pruning: PruningOptions, content: TileContent) throws(CompressionError) {
        try pruning.validate(columns: weights.columns, content)
        try pruning.validateGroups(content)
        try factor.checkOrder(weights)
        self.pruning = pruning
        self.factor = factor
        tile = try Tile(weights, permutation: nil)
        let r = factor.panel(0..<factor.columns)
        loop = ColumnLoop(
            r: r, weights: tile.weights, errors: Matrix(repeating: 0, tile.columns, tile.lanes),
            narrowedErrors: r.narrowed.map { [tile] _ in Matrix(uninitialized: tile.columns, tile.lanes) })
        method = SparseGPT(tile, factor.outline, pruning, content)
        if case .codes(let grids, _, let options) = method.output, !options.hasDynamicGroups { try grids.findAll(tile) }
    }

    public func scores(_ columns: Range<Int>) -> Matrix<Float> {
        loop.reach(columns)
        let scores = loop.scores(columns, loop.updatedWeights(columns), factor.outline)
        lastScores = scores
        return scores.columns(0..<rows)
    }

    public func prune(_ columns: Range<Int>, threshold: Float) {
        guard let lastScores else { preconditionFailure("no scores of columns \(columns)") }
        method.mask.choose(columns, lastScores, above: threshold)
        loop.run(method, over: columns)
    }

    public func finish(measuringEnergy: Bool) throws(CompressionError) -> SolvedTile {
        if comparisons.isEmpty { loop.run(method) }
        let loss = Array(method.loss.elements().prefix(rows)), energy = measuringEnergy ? factor.energies(tile) : []
        switch method.output {
        case .codes(let grids, let codes, let options):
            return .codes(QuantizedTile(tile, codes: codes, grids: grids, options: options, loss: loss, energy: energy))
        case .values(let values, let type):
            let values = tile.original(values)
            try values.checkFinite(type)
            return .values(ValueTile(values: values, loss: loss, energy: energy))
        }
    }
}

extension Factor {
    /// Methods that prune take columns as they stand.
    func checkOrder(_ weights: Matrix<Float>) throws(CompressionError) {
        guard weights.columns == columns else { throw .shape("a tile of \(weights.columns) columns and the factor of \(columns)") }
        guard permutation == nil else { throw .missingFactor("it was made with act-order, which does not go with sparsity") }
    }
}
