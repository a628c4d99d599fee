// ExactOBS (Frantar, Singh, Alistarh, NeurIPS 2022): each row prunes its weights one by one, or block by block, the cheapest first, and the others make up
// for each.

public import LinearAlgebra

/// A tile of rows of one layer on its way through ExactOBS.
///
/// The next weight of a row to go is the one of least w_j^2 / (H^-1)_jj, its score; of blocks, whose weights go together, `BlockElimination` has the score,
/// which each weight of a block has. For a share of the layer every row prunes until it is empty, and
/// remembers order and scores alone: [rows, columns] of each, where the published trace keeps the weights at every count of zeros. The threshold of all rows
/// says how many weights each row prunes: as many as have no score above it, and those are the first ones in its order. The row then goes through
/// that part of its order again. In a pattern rows decide by themselves: weights whose group is full stay. The rank's threads share the rows.
public final class ExactOBSTile: PruningTile, @unchecked Sendable {
    public let pruning: PruningOptions
    private let tile: Tile
    private let type: ScaleType
    private let factor: Factor
    private let inverse: InverseHessian
    /// Columns of a block that is pruned as one; 1 in a pattern.
    private let width: Int
    /// The numbers of blocks as each row prunes them: [rows, columns / width]
    private var order: Matrix<Int32>?
    /// Of each column when the turn of its block came: [columns, rows]
    private var lastScores: Matrix<Float>?
    /// Blocks that each row prunes.
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
        width = pruning.blockColumns
        self.factor = factor
        self.inverse = inverse
        tile = try Tile(weights, permutation: nil)
    }

    public func scores(_ columns: Range<Int>) -> Matrix<Float> {
        precondition(columns == 0..<tile.columns, "columns \(columns) of a mask for all \(tile.columns)")
        let blocks = tile.columns / width
        let (scores, order) = (Matrix<Float>(uninitialized: tile.columns, rows), Matrix<Int32>(uninitialized: rows, blocks))
        eachRow { row, elimination in
            let turns = order.row(row)
            for turn in 0..<blocks {
                guard let (place, cost) = elimination.first() else { preconditionFailure("a row that is empty before its end") }
                let block = elimination.block(at: place)
                turns[turn] = Int32(block)
                for column in block * width..<(block + 1) * width { scores[column, row] = Float(cost) }
                elimination.remove(place)
            }
        }
        (lastScores, self.order) = (scores, order)
        return scores
    }

    public func prune(_ columns: Range<Int>, threshold: Float) {
        guard let lastScores else { preconditionFailure("no scores of columns \(columns)") }
        counts = (0..<rows).map { row in stride(from: 0, to: tile.columns, by: width).count { lastScores[$0, row] <= threshold } }
        self.lastScores = nil
    }

    public func finish(measuringEnergy: Bool) throws(CompressionError) -> SolvedTile {
        let solved = Matrix<Float>(repeating: 0, tile.columns, tile.lanes)
        eachRow { row, elimination in
            switch pruning.sparsity {
            case .pattern(let pruned, let of): prune(elimination.row, pruned: pruned, of: of)
            case .share: replay(row, elimination)
            }
            let left = elimination.row
            for place in 0..<left.remaining { solved[Int(left.columns[place]), row] = Float(left.weights[place]) }
        }
        let values = try tile.values(solved, type)
        for index in 0..<solved.count { solved.base[index] = tile.weights.base[index] - solved.base[index] }
        return .values(
            ValueTile(values: values, loss: factor.squaredNorms(solved, rows: rows), energy: measuringEnergy ? factor.energies(tile) : []))
    }

    private func eachRow(_ body: @Sendable (Int, BlockElimination) -> Void) {
        parallelFor(rows, inUnitsOf: RowElimination.rowsOfUnit) { rows in
            let elimination = BlockElimination(inverse, width: width)
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

    /// Prunes the first blocks of a row's order.
    private func replay(_ row: Int, _ elimination: BlockElimination) {
        guard let order else { preconditionFailure("no order of row \(row)") }
        var places = (0..<tile.columns / width).map { Int32($0) }  // block -> place
        for turn in 0..<counts[row] {
            let place = Int(places[Int(order[row, turn])])
            places[elimination.block(at: elimination.remaining - 1)] = Int32(place)
            elimination.remove(place)
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

    /// Bytes of a row in hand: what is eliminated, and where its blocks are.
    /// - Parameter width: columns of a block.
    package static func byteCount(columns: Int, width: Int) -> Int { BlockElimination.byteCount(columns: columns, width: width) + (8 + 4) * columns }
}
