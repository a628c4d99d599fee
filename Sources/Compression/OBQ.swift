// OBQ (Frantar, Singh, Alistarh, NeurIPS 2022): each row rounds its weights in the order in which that costs least by then.

public import LinearAlgebra

/// Quantizes a tile of rows of one layer, each by itself: about c^3 / 3 multiplications and additions a row, where GPTQ takes c^2.
///
/// The next column of a row is the one of least (w_j - q_j)^2 / (H^-1)_jj, with weights and H^-1 as the columns before it left them; but a weight beyond
/// its grid by more than half a step comes before all others, the farthest first (section 5 of the paper): later columns could only push it farther.
/// All grids are found in the original weights. The rank's threads share the rows.
/// - Parameters:
///   - weights: [rows, columns]. Those of columns whose input was always zero are rounded to nearest, see `FactorPlan`.
///   - factor: made without act-order.
///   - inverse: of the same Hessian.
///   - options: without act-order, and with groups that are static.
///   - measuringEnergy: also computes `energy`.
/// - Throws: `CompressionError`
public func obq(
    weights: Matrix<Float>, factor: Factor, inverse: InverseHessian, options: QuantizationOptions, measuringEnergy: Bool = true
) throws(CompressionError) -> QuantizedTile {
    try options.validate()
    guard options.number == .int else { throw .options("OBQ rounds to integers, not to \(options.number.rawValue)") }
    guard !options.actOrder, !options.hasDynamicGroups else {
        throw .options("OBQ takes each row's columns in an order of their own, on grids that are found before: no act-order, and static groups")
    }
    try factor.outline.check(weights, options)
    let tile = try Tile(weights, permutation: nil)
    let grids = GroupGrids(tile, factor.outline, options)
    try grids.findAll(tile)
    let codes = Matrix<UInt8>(zeros: tile.columns, tile.lanes)
    let loss = Matrix<Double>(uninitialized: 1, tile.rows)
    let (scales, zeros, groups) = (grids.scales, grids.zeros, grids.groupOfPosition.map { Int($0) })
    parallelFor(tile.rows, inUnitsOf: RowElimination.rowsOfUnit) { rows in
        let solver = OBQRow(inverse, maxCode: Double(options.maxCode))
        for row in rows {
            solver.begin(row, of: tile) { (scales[groups[$0], row], zeros[groups[$0], row]) }
            loss.base[row] = solver.quantize { codes[$0, row] = $1 }
        }
    }
    return QuantizedTile(tile, codes: codes, grids: grids, options: options, loss: loss.elements(), energy: measuringEnergy ? factor.energies(tile) : [])
}

/// One row after the other.
private struct OBQRow {
    private let elimination: RowElimination
    /// Scale and zero of each column: [2, columns]
    private let grid: Matrix<Double>
    private let maxCode: Double

    init(_ inverse: InverseHessian, maxCode: Double) {
        elimination = RowElimination(inverse)
        grid = Matrix(uninitialized: 2, inverse.columns)
        self.maxCode = maxCode
    }

    /// - Parameter gridOfColumn: column -> scale and zero.
    func begin(_ row: Int, of tile: Tile, _ gridOfColumn: (Int) -> (scale: Float, zero: Float)) {
        elimination.begin(tile.weights.base + row, stride: tile.lanes)
        for column in 0..<tile.columns {
            let (scale, zero) = gridOfColumn(column)
            (grid.row(0)[column], grid.row(1)[column]) = (Double(scale), Double(zero))
        }
    }

    /// - Parameter store: takes each column's code.
    /// - Returns: the row's output error.
    func quantize(_ store: (_ column: Int, _ code: UInt8) -> Void) -> Double {
        var loss = 0.0
        while elimination.remaining > 0 {
            let place = next()
            let column = Int(elimination.columns[place])
            let (code, error) = rounded(place)
            store(column, UInt8(code))
            loss += elimination.remove(place, error: error)
        }
        return loss
    }

    private func next() -> Int {
        let (scales, columns, diagonal) = (grid.row(0), elimination.columns, elimination.diagonal)
        var (farthest, distance, best, least) = (-1, 0.0, 0, Double.infinity)
        for place in 0..<elimination.remaining {
            let error = rounded(place).error, squared = error * error, scale = scales[Int(columns[place])]
            if squared > 0.25 * scale * scale, squared > distance || squared == distance && columns[place] < columns[farthest] {
                (farthest, distance) = (place, squared)
            }
            let score = squared / diagonal[place]
            if score < least || score == least && columns[place] < columns[best] { (best, least) = (place, score) }
        }
        return farthest < 0 ? best : farthest
    }

    /// The nearest code, and the weight minus its value.
    @inline(__always) private func rounded(_ place: Int) -> (code: Double, error: Double) {
        let column = Int(elimination.columns[place]), weight = elimination.weights[place]
        let (scale, zero) = (grid.row(0)[column], grid.row(1)[column])
        let code = min(max((weight / scale).rounded(.toNearestOrEven) + zero, 0), maxCode)
        return (code, weight - scale * (code - zero))
    }
}

/// What OBQ takes, whatever its settings.
public enum OBQ {
    /// Multiplications and additions of a row.
    package static func operations(columns: Int) -> Double { RowElimination.operations(columns: columns, share: 1) }
    /// Bytes of a row in hand.
    package static func byteCount(columns: Int) -> Int { RowElimination.byteCount(columns: columns) + 2 * 8 * columns }
}
