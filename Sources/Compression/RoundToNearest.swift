// Rounding to nearest: the baseline, in which no weight makes up for another.

internal import CKernels
public import LinearAlgebra

/// Quantizes every weight to the nearest point of its group's grid, found in the original weights. Groups are of neighbouring columns:
/// `actOrder` and `staticGroups` change nothing.
/// - Parameters:
///   - weights: [rows, columns]
///   - factor: for `loss` and `energy`, and for the Hessian-aware grid.
///   - tensorMagnitude: as of `gptq`.
/// - Throws: `CompressionError`
public func roundToNearest(
    weights: Matrix<Float>, options: QuantizationOptions, factor: Factor? = nil, tensorMagnitude: Float? = nil
) throws(CompressionError) -> QuantizedTile {
    let rounded = try RoundedTile(weights: weights, factor: factor?.outline, options: options, tensorMagnitude: tensorMagnitude)
    return factor.map(rounded.solve) ?? rounded.finish()
}

/// The same, panel by panel: the factor serves the measures alone.
public final class RoundedTile: TileInProgress, @unchecked Sendable {
    public let panelColumns: Int
    private let tile: Tile
    private let options: QuantizationOptions
    private let grids: GroupGrids
    private let codes: Matrix<UInt8>
    /// w - q: [columns, lanes]
    private let errors: Matrix<Float>
    private let hasFactor: Bool
    private var loss: [Double] = []
    private var energy: [Double] = []

    /// Parameters and errors are those of `roundToNearest`.
    public init(
        weights: Matrix<Float>, factor: FactorOutline?, options: QuantizationOptions, tensorMagnitude: Float? = nil
    ) throws(CompressionError) {
        panelColumns = options.panelColumns
        var options = options
        options.actOrder = factor?.permutation != nil
        options.wholeGroups = false
        options.staticGroups = true
        try options.validate()
        try factor?.check(weights, options)
        tile = try Tile(weights, permutation: factor?.permutation)
        grids = GroupGrids(tile, factor, options, tensorMagnitude: tensorMagnitude)
        try grids.findAll(tile)
        (codes, errors) = round(tile, grids, options.kernelNumbers)
        self.options = options
        hasFactor = factor != nil
        guard hasFactor else { return }
        loss = Array(repeating: 0, count: tile.rows)
        energy = Array(repeating: 0, count: tile.sampledRows)
    }

    public func take(_ panel: FactorPanel) {
        guard hasFactor else { return }
        panel.addSquaredNorms(errors, to: &loss)
        panel.addEnergies(tile.sampled, to: &energy)
    }

    public func finish() -> QuantizedTile {
        QuantizedTile(tile, codes: codes, grids: grids, options: options, loss: loss, energy: energy)
    }
}

/// Codes and errors w - q: [columns, lanes].
private func round(_ tile: Tile, _ grids: GroupGrids, _ numbers: cleave_numbers) -> (codes: Matrix<UInt8>, errors: Matrix<Float>) {
    let (codes, errors) = (Matrix<UInt8>(uninitialized: tile.columns, tile.lanes), Matrix<Float>(uninitialized: tile.columns, tile.lanes))
    for position in 0..<tile.columns {
        let group = Int(grids.groupOfPosition[position])
        cleave_round_column(
            tile.weights.row(position), grids.scales.row(group), grids.zeros.row(group), numbers, codes.row(position), errors.row(position), tile.lanes)
    }
    return (codes, errors)
}
