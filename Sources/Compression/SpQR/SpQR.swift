// SpQR (Dettmers et al., arXiv 2306.03078): small groups with scales and zero points in few bits, and weights that err most kept beside them.

internal import CKernels
public import LinearAlgebra

/// Quantizes a tile of whole blocks of 16 rows.
///
/// GPTQ's column loop; as it reaches a group, its grid is found without the weights that are worth more as outliers, and rounded to what 16 rows share
/// (`SpQRGrids`). A weight whose squared error is above the threshold then becomes an outlier: the code of 0, and the difference in half precision beside it.
/// Errors are those of what clients compute, outliers' own rounding included; the published code takes outliers as exact.
public final class SpQRTile: TileInProgress, @unchecked Sendable {
    private let tile: Tile
    private let options: QuantizationOptions
    private let method: SpQR
    /// [columns, lanes]
    private let errors: Matrix<Float>
    /// [columns, lanes]; only where R is narrowed.
    private var narrowedErrors: Matrix<BFloat16>?
    private let measuringEnergy: Bool
    private var energy: [Double]

    /// - Parameters:
    ///   - weights: [rows, columns], in the original order of columns.
    ///   - factor: made with the same act-order as `options`.
    ///   - threshold: the squared error (w - q)^2 R_jj^2 from which a weight is an outlier, see `SpQR.threshold`.
    ///   - measuringEnergy: also computes `energy`.
    /// - Throws: `CompressionError`
    public init(
        weights: Matrix<Float>, factor: FactorOutline, options: QuantizationOptions, threshold: Double, measuringEnergy: Bool
    ) throws(CompressionError) {
        try factor.check(weights, options)
        tile = try Self.tile(weights, options, permutation: factor.permutation)
        method = SpQR(tile, options, diagonal: factor.diagonalOfR, threshold: Float(threshold))
        errors = Matrix(repeating: 0, tile.columns, tile.lanes)
        energy = measuringEnergy ? Array(repeating: 0, count: tile.sampledRows) : []
        self.options = options
        self.measuringEnergy = measuringEnergy
    }

    /// Weights that half precision holds with room for what they take over.
    private static let mostWeight: Float = 32768

    private static func tile(_ weights: Matrix<Float>, _ options: QuantizationOptions, permutation: [Int]?) throws(CompressionError) -> Tile {
        try options.validate()
        guard options.number == .spqr else { throw .options("SpQR has grids of its own, not those of \(options.number.rawValue)") }
        guard weights.columns % options.group == 0 else {
            throw .shape("SpQR has whole groups of \(options.group) columns, and the tile has \(weights.columns) columns")
        }
        for row in 0..<weights.rows {
            let values = UnsafeBufferPointer(start: weights.row(row), count: weights.columns)
            if let column = values.firstIndex(where: { $0.magnitude > mostWeight }) {
                throw .weightTooLarge(row: row, column: column, value: values[column], most: mostWeight)
            }
        }
        return try Tile(weights, permutation: permutation)
    }

    public var panelColumns: Int { options.panelColumns }

    public func take(_ panel: FactorPanel) {
        if panel.narrowed != nil, narrowedErrors == nil { narrowedErrors = Matrix(uninitialized: tile.columns, tile.lanes) }
        ColumnLoop(r: panel, weights: tile.weights, errors: errors, narrowedErrors: narrowedErrors).run(method)
        if measuringEnergy { panel.addEnergies(tile.sampled, to: &energy) }
    }

    public func finish() -> QuantizedTile {
        QuantizedTile(tile, method, options: options, loss: Array(method.loss.elements().prefix(tile.rows)), energy: energy)
    }

    /// Rounds to nearest on the same kind of grids, without a Hessian and without outliers.
    public static func rounded(weights: Matrix<Float>, options: QuantizationOptions) throws(CompressionError) -> QuantizedTile {
        var options = options
        (options.actOrder, options.wholeGroups) = (false, false)
        let tile = try tile(weights, options, permutation: nil)
        let method = SpQR(tile, options, diagonal: Array(repeating: 1, count: tile.columns), threshold: .infinity)
        let errors = Matrix<Float>(repeating: 0, tile.columns, tile.lanes)
        for columns in (0..<tile.columns).cut(every: options.group) {
            // Of the identity, no column sees the errors of others.
            let identity = Matrix<Float>(repeating: 0, columns.upperBound, columns.count)
            for (index, column) in columns.enumerated() { identity[column, index] = 1 }
            let loop = ColumnLoop(r: FactorPanel(columns: columns, values: identity, narrowed: nil), weights: tile.weights, errors: errors)
            method.begin(columns, width: options.group, loop)
            for part in columns.cut(every: ColumnRanges.leafColumns) { method.solve(part, loop) }
        }
        return QuantizedTile(tile, method, options: options, loss: [], energy: [])
    }
}

/// The method in the column loop.
public struct SpQR: ColumnMethod {
    let widths: [Int]
    let grids: SpQRGrids
    /// [columns, lanes]
    let codes: Matrix<UInt8>
    let outliers: Matrix<Float>
    /// [1, lanes]
    let loss: Matrix<Double>
    private let group: Int
    /// Position in the order of quantization -> group.
    let groupOfPosition: [Int32]
    private let diagonal: [Float]
    private let threshold: Float
    private let maxCode: Float

    fileprivate init(_ tile: Tile, _ options: QuantizationOptions, diagonal: [Float], threshold: Float) {
        group = options.group
        widths = ColumnRanges.widths(group: group)
        grids = SpQRGrids(tile, options)
        codes = Matrix(uninitialized: tile.columns, tile.lanes)
        outliers = Matrix(uninitialized: tile.columns, tile.lanes)
        loss = Matrix(repeating: 0, 1, tile.lanes)
        let columns = options.hasGroupsOfColumns ? tile.permutation : nil
        groupOfPosition = (0..<tile.columns).map { Int32((columns?[$0] ?? $0) / options.group) }
        maxCode = Float(options.maxCode)
        (self.diagonal, self.threshold) = (diagonal, threshold)
    }

    func begin(_ columns: Range<Int>, width: Int, _ loop: ColumnLoop) {
        guard width == group else { return }
        grids.find(Int(groupOfPosition[columns.lowerBound]), loop.updatedWeights(columns), diagonal: Array(diagonal[columns]), threshold: threshold)
    }

    func solve(_ columns: Range<Int>, _ loop: ColumnLoop) {
        var leaf = loop.kernelColumns(columns)
        groupOfPosition.withUnsafeBufferPointer { groups in
            guard let first = groups.baseAddress else { return }
            cleave_spqr_columns(
                &leaf, grids.scales.base, grids.zeros.base, first + columns.lowerBound, maxCode, threshold, codes.row(columns.lowerBound),
                outliers.row(columns.lowerBound), loss.base)
        }
    }

    /// The threshold for a layer: a share of the mean over its columns of var(w_j) R_jj^2.
    ///
    /// - Parameters:
    ///   - sums: of each column's weights over all rows, and of their squares, in the original order: [2, columns]
    ///   - rows: of the layer.
    public static func threshold(_ share: Double, sums: Matrix<Double>, rows: Int, factor: FactorOutline) -> Double {
        guard rows > 1 else { return .infinity }
        let (count, columns) = (Double(rows), factor.columns)
        let sum = (0..<columns).reduce(0.0) { sum, position in
            let column = factor.permutation?[position] ?? position, r = Double(factor.diagonalOfR[position])
            let variance = max(sums[1, column] - sums[0, column] * sums[0, column] / count, 0) / (count - 1)
            return sum + variance * r * r
        }
        return share * sum / Double(columns)
    }

    /// Bits of a weight as the paper counts them (section 3.3), of so many outliers in `weights` weights.
    public static func averageBits(bits: Int, group: Int, outlierShare: Double) -> Double {
        let group = Double(group), levels = Double(2 * SpQRScales.bitsOfLevel) / group
        return Double(bits) + levels + 64 / (group * Double(SpQRScales.rowsOfBlock)) + 32 * outlierShare
    }
}
