// GPTQ (Frantar et al., ICLR 2023): column by column, later weights make up for the rounding of earlier ones.

internal import CKernels
public import LinearAlgebra

/// Quantizes a tile of rows of one layer. Rows are independent of each other, so a layer may be cut into tiles anywhere.
///
/// Works on the calling thread apart from the matrix products; about rows c^2 / 2 multiplications.
/// - Parameters:
///   - weights: [rows, columns], in the original order of columns. Columns whose input was always zero become zero (as published) before
///     any grid is found.
///   - factor: made with the same act-order as `options`.
///   - measuringEnergy: also computes `energy`, for which the factor is read once more.
/// - Throws: `CompressionError`
public func gptq(
    weights: Matrix<Float>, factor: Factor, options: QuantizationOptions, measuringEnergy: Bool = true
) throws(CompressionError) -> QuantizedTile {
    try options.validate()
    try factor.check(weights, options)
    let tile = try Tile(weights, permutation: factor.permutation, deadColumns: factor.deadColumns)
    let method = GPTQ(tile, options)
    if !options.hasDynamicGroups { try method.grids.findAll(tile, factor: factor) }
    let loop = ColumnLoop(r: factor.r, weights: tile.weights, errors: Matrix(repeating: 0, tile.columns, tile.lanes))
    loop.run(method)
    return QuantizedTile(
        tile, codes: method.codes, grids: method.grids, options: options, loss: Array(method.loss.elements().prefix(tile.rows)),
        energy: measuringEnergy ? factor.energies(tile) : [])
}

private struct GPTQ: ColumnMethod {
    let widths: [Int]
    let grids: GroupGrids
    /// [columns, lanes]
    let codes: Matrix<UInt8>
    /// [1, lanes]
    let loss: Matrix<Double>
    private let dynamicGroup: Int?
    private let maxCode: Float

    init(_ tile: Tile, _ options: QuantizationOptions) {
        dynamicGroup = options.hasDynamicGroups ? options.group : nil
        widths = ColumnLoop.widths(group: dynamicGroup)
        grids = GroupGrids(tile, options)
        codes = Matrix(uninitialized: tile.columns, tile.lanes)
        loss = Matrix(repeating: 0, 1, tile.lanes)
        maxCode = Float(options.maxCode)
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
                &leaf, grids.scales.base, grids.zeros.base, first + columns.lowerBound, maxCode, codes.row(columns.lowerBound), loss.base)
        }
    }
}

extension Factor {
    func check(_ weights: Matrix<Float>, _ options: QuantizationOptions) throws(CompressionError) {
        guard weights.columns == columns else {
            throw .shape("a tile of \(weights.columns) columns and the factor of \(columns)")
        }
        guard options.actOrder == (permutation != nil) else {
            throw .missingFactor("it was made with act-order \(permutation == nil ? "off" : "on"), but the options ask for the opposite")
        }
    }
}
