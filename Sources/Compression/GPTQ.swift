// GPTQ (Frantar et al., ICLR 2023): column by column, later weights make up for the rounding of earlier ones.

internal import CKernels
public import LinearAlgebra

/// Quantizes a tile of rows of one layer. Rows are independent of each other, so a layer may be cut into tiles anywhere.
///
/// Works on the calling thread apart from the matrix products; about rows c^2 / 2 multiplications.
/// - Parameters:
///   - weights: [rows, columns], in the original order of columns. Those of columns whose input was always zero are rounded to nearest, see `FactorPlan`.
///   - factor: made with the same act-order as `options`.
///   - tensorMagnitude: the largest magnitude of all weights of the layer, for types of numbers that want it; nil: the tile is the layer.
///   - measuringEnergy: also computes `energy`, for which the factor is read once more.
/// - Throws: `CompressionError`
public func gptq(
    weights: Matrix<Float>, factor: Factor, options: QuantizationOptions, tensorMagnitude: Float? = nil, measuringEnergy: Bool = true
) throws(CompressionError) -> QuantizedTile {
    try GPTQTile(
        weights: weights, factor: factor.outline, options: options, tensorMagnitude: tensorMagnitude, measuringEnergy: measuringEnergy
    ).solve(factor)
}

/// The same, panel by panel.
public final class GPTQTile: TileInProgress, @unchecked Sendable {
    private let tile: Tile
    private let options: QuantizationOptions
    private let method: GPTQ
    /// [columns, lanes]
    private let errors: Matrix<Float>
    /// [columns, lanes]; only where R is narrowed.
    private var narrowedErrors: Matrix<BFloat16>?
    private let measuringEnergy: Bool
    private var energy: [Double]

    /// Parameters and errors are those of `gptq`.
    public init(
        weights: Matrix<Float>, factor: FactorOutline, options: QuantizationOptions, tensorMagnitude: Float? = nil, measuringEnergy: Bool
    ) throws(CompressionError) {
        try options.validate()
        try factor.check(weights, options)
        tile = try Tile(weights, permutation: factor.permutation)
        method = GPTQ(tile, factor, options, tensorMagnitude)
        if !options.hasDynamicGroups { try method.grids.findAll(tile) }
        errors = Matrix(repeating: 0, tile.columns, tile.lanes)
        energy = measuringEnergy ? Array(repeating: 0, count: tile.sampledRows) : []
        self.options = options
        self.measuringEnergy = measuringEnergy
    }

    public var panelColumns: Int { options.panelColumns }

    public func take(_ panel: FactorPanel) {
        if panel.narrowed != nil, narrowedErrors == nil { narrowedErrors = Matrix(uninitialized: tile.columns, tile.lanes) }
        ColumnLoop(r: panel, weights: tile.weights, errors: errors, narrowedErrors: narrowedErrors).run(method)
        if measuringEnergy { panel.addEnergies(tile.sampled, to: &energy) }
    }

    public func finish() -> QuantizedTile {
        QuantizedTile(
            tile, codes: method.codes, grids: method.grids, options: options, loss: Array(method.loss.elements().prefix(tile.rows)), energy: energy)
    }
}

private struct GPTQ: ColumnMethod {
    let widths: [Int]
    let grids: GroupGrids
    /// [columns, lanes]
    let codes: Matrix<UInt8>
    /// [1, lanes]
    let loss: Matrix<Double>
    private let dynamicGroup: Int?
    private let numbers: cleave_numbers

    init(_ tile: Tile, _ factor: FactorOutline, _ options: QuantizationOptions, _ tensorMagnitude: Float?) {
        dynamicGroup = options.hasDynamicGroups ? options.group : nil
        widths = ColumnRanges.widths(group: dynamicGroup)
        grids = GroupGrids(tile, factor, options, tensorMagnitude: tensorMagnitude)
        codes = Matrix(uninitialized: tile.columns, tile.lanes)
        loss = Matrix(repeating: 0, 1, tile.lanes)
        numbers = options.kernelNumbers
    }

    func begin(_ columns: Range<Int>, width: Int, _ loop: ColumnLoop) {
        guard width == dynamicGroup else { return }
        grids.find(columns, updated: loop.updatedWeights(columns), r: loop.r)
    }

    func solve(_ columns: Range<Int>, _ loop: ColumnLoop) {
        var leaf = loop.kernelColumns(columns)
        grids.groupOfPosition.withUnsafeBufferPointer { groups in
            guard let first = groups.baseAddress else { return }
            cleave_quantize_columns(
                &leaf, grids.scales.base, grids.zeros.base, first + columns.lowerBound, numbers, codes.row(columns.lowerBound), loss.base)
        }
    }
}
