// ExactOBS (Frantar, Singh, Alistarh, NeurIPS 2022): each row prunes its weights one by one, the cheapest first, and the others make up for each.

public import LinearAlgebra

/// A tile of rows of one layer on its way through ExactOBS.
///
/// The next weight of a row to go is the one of least w_j^2 / (H^-1)_jj, its score. For a share of the layer every row prunes until it is empty, and
/// remembers order and scores alone: [rows, columns] of each, where the published trace keeps the weights at every count of zeros. The threshold of all rows
/// says how many weights each row prunes: as many as have no score above it, and those are the first ones in its order. The row then goes through
/// that part of its order again. In a pattern rows decide by themselves: weights whose group is full stay. The rank's threads share the rows.
public final class ExactOBSTile: PruningTile, @unchecked Sendable {
    public let pruning: PruningOptions
    private let tile: Tile
    private let type: ScaleType
    private let factor: Factor
    private let inverse: InverseHessian
    /// Columns as each row prunes them: [rows, columns]
    private var order: Matrix<Int32>?
    /// Of each column when its turn came: [columns, rows]
    private var lastScores: Matrix<Float>?
    /// Weights that each row prunes.
    private var counts: [Int] = []

    public var rows: Int { tile.rows }
    public var comparisons: [Range<Int>] { pruning.comparisons(columns: tile.columns) }

    /// - Parameters:
    ///   - weights: [rows, columns]. Those of columns whose input was always zero are ranked by their magnitude, see `InverseHessian.comparedDiagonal`.
    ///   - factor: made without act-order.
    ///   - inverse: of the same Hessian.
    ///   - content: values; codes are refused.
    /// - Throws: `CompressionError`
    public init(
        weights: Matrix<Float>, factor: Factor, inverse: InverseHessian, pruning: PruningOptions, content: TileContent
    ) throws(CompressionError) {
        guard case .values(let type) = content else { throw .options("ExactOBS does not quantize") }
        try pruning.validate(columns: weights.columns, content)
        try factor.checkOrder(weights)
        self.pruning = pruning
        self.type = type
        self.factor = factor
        self.inverse = inverse
        tile = try Tile(weights, permutation: nil)
    }

    public func scores(_ columns: Range<Int>) -> Matrix<Float> {
        precondition(columns == 0..<tile.columns, "columns \(columns) of a mask for all \(tile.columns)")
        let (scores, order) = (Matrix<Float>(uninitialized: tile.columns, rows), Matrix<Int32>(uninitialized: rows, tile.columns))
        eachRow { row, elimination in
            let turns = order.row(row)
            for turn in 0..<tile.columns {
                guard let (place, score) = elimination.first({ elimination.cost($0) }) else { preconditionFailure("a row that is empty before its end") }
                let column = elimination.columns[place]
                (turns[turn], scores[Int(column), row]) = (column, Float(score))
                elimination.remove(place, error: elimination.weights[place])
            }
        }
        (lastScores, self.order) = (scores, order)
        return scores
    }

    public func prune(_ columns: Range<Int>, threshold: Float) {
        guard let lastScores else { preconditionFailure("no scores of columns \(columns)") }
        counts = (0..<rows).map { row in (0..<tile.columns).count { lastScores[$0, row] <= threshold } }
        self.lastScores = nil
    }

    public func finish(measuringEnergy: Bool) throws(CompressionError) -> SolvedTile {
        let solved = Matrix<Float>(repeating: 0, tile.columns, tile.lanes)
        eachRow { row, elimination in
            switch pruning.sparsity {
            case .pattern(let pruned, let of): prune(elimination, pruned: pruned, of: of)
            case .share: replay(row, elimination)
            }
            for place in 0..<elimination.remaining { solved[Int(elimination.columns[place]), row] = Float(elimination.weights[place]) }
        }
        let values = try tile.values(solved, type)
        for index in 0..<solved.count { solved.base[index] = tile.weights.base[index] - solved.base[index] }
        return .values(
            ValueTile(values: values, loss: factor.squaredNorms(solved, rows: rows), energy: measuringEnergy ? factor.energies(tile) : []))
    }

    private func eachRow(_ body: @Sendable (Int, RowElimination) -> Void) {
        parallelFor(rows, inUnitsOf: RowElimination.rowsOfUnit) { rows in
            let elimination = RowElimination(inverse)
            for row in rows {
                elimination.begin(tile.weights.base + row, stride: tile.lanes)
                body(row, elimination)
            }
        }
    }

    private func prune(_ elimination: RowElimination, pruned: Int, of width: Int) {
        var zeros = [Int](repeating: 0, count: tile.columns / width)
        let columns = elimination.columns
        while let (place, _) = elimination.first({ zeros[Int(columns[$0]) / width] < pruned ? elimination.cost($0) : nil }) {
            zeros[Int(columns[place]) / width] += 1
            elimination.remove(place, error: elimination.weights[place])
        }
    }

    /// Prunes the first weights of a row's order.
    private func replay(_ row: Int, _ elimination: RowElimination) {
        guard let order else { preconditionFailure("no order of row \(row)") }
        var places = (0..<tile.columns).map { Int32($0) }  // column -> place
        for turn in 0..<counts[row] {
            let column = order[row, turn], place = Int(places[Int(column)])
            places[Int(elimination.columns[elimination.remaining - 1])] = Int32(place)
            elimination.remove(place, error: elimination.weights[place])
        }
    }
}

/// What ExactOBS takes, whatever its settings.
public enum ExactOBS {
    /// Bytes of a weight of a tile from its beginning to its end: weights, order and scores; and while it is finished: new weights, twice, the copy in
    /// which they are rounded, and as they were read.
    package static let heldBytes = 4 + 4 + 4, workBytes = 4 + 4 + 4 + 4

    /// Multiplications and additions of a row.
    package static func operations(columns: Int, _ sparsity: Sparsity) -> Double {
        switch sparsity {
        case .share(let share): RowElimination.operations(columns: columns, share: 1) + RowElimination.operations(columns: columns, share: share)
        case .pattern(let pruned, let of): RowElimination.operations(columns: columns, share: Double(pruned) / Double(of))
        }
    }

    /// Bytes of a row in hand: what is eliminated, and where its columns are.
    package static func byteCount(columns: Int) -> Int { RowElimination.byteCount(columns: columns) + (8 + 4) * columns }
}
