// The grids of all groups of a tile of SpQR, whose scales and zero points are codes themselves.

internal import CKernels
import LinearAlgebra

struct SpQRGrids {
    /// As clients compute them: [groups, lanes]
    let scales: Matrix<Float>
    let zeros: Matrix<Float>
    /// [groups, lanes]
    private let scaleCodes: Matrix<UInt8>
    private let zeroCodes: Matrix<UInt8>
    /// [groups, blocks of rows]
    private let scaleLevel: SecondLevel
    private let zeroLevel: SecondLevel
    private let maxCode: Float
    /// Rows of the tile, without those of padding.
    private let rows: Int

    /// Steps and zero points of the grids on which the rows of a block have their scales, or their zero points.
    private struct SecondLevel {
        /// [groups, blocks of rows]
        let steps: Matrix<Float>
        let zeros: Matrix<Float>

        init(_ groups: Int, _ blocks: Int) {
            steps = Matrix(repeating: 0, groups, blocks)
            zeros = Matrix(repeating: 0, groups, blocks)
        }
    }

    init(_ tile: Tile, _ options: QuantizationOptions) {
        let groups = options.groupCount(columns: tile.columns), blocks = SpQRScales.blocks(rows: tile.lanes)
        scales = Matrix(repeating: 0, groups, tile.lanes)
        zeros = Matrix(repeating: 0, groups, tile.lanes)
        scaleCodes = Matrix(repeating: 0, groups, tile.lanes)
        zeroCodes = Matrix(repeating: 0, groups, tile.lanes)
        scaleLevel = SecondLevel(groups, blocks)
        zeroLevel = SecondLevel(groups, blocks)
        maxCode = Float(options.maxCode)
        rows = tile.rows
    }

    /// Finds the grids of a group.
    ///
    /// - Parameters:
    ///   - values: its weights as they are by now: [columns, lanes]
    ///   - diagonal: R_jj of its columns.
    ///   - threshold: the squared error from which a weight is an outlier.
    func find(_ group: Int, _ values: Matrix<Float>, diagonal: [Float], threshold: Float) {
        let lanes = values.columns
        cleave_spqr_grid(values.base, values.rows, lanes, diagonal, maxCode, threshold, scales.row(group), zeros.row(group))
        // Rows of zeros, and those of padding, say nothing of the others' scales and zero points.
        let isFilled = (0..<lanes).map { $0 < rows && scales[group, $0] > 0 }
        store(group, isFilled, scales, scaleCodes, scaleLevel)
        store(group, isFilled, zeros, zeroCodes, zeroLevel)
    }

    /// Rounds what the rows of a group have to codes of their blocks.
    ///
    /// - Parameter numbers: [groups, lanes], what is wanted, and afterwards what clients compute.
    private func store(_ group: Int, _ isFilled: [Bool], _ numbers: Matrix<Float>, _ codes: Matrix<UInt8>, _ level: SecondLevel) {
        let own = numbers.rows(group..<group + 1), height = SpQRScales.rowsOfBlock
        let halves = Matrix<UInt16>(uninitialized: 1, own.columns)
        for (block, part) in (0..<own.columns).cut(every: height).enumerated() {
            let filled = part.filter { isFilled[$0] }.map { own.base[$0] }
            (level.steps[group, block], level.zeros[group, block]) = Self.grid(filled)
        }
        ScaleType.f16.round(level.steps.rows(group..<group + 1), halves)
        ScaleType.f16.round(level.zeros.rows(group..<group + 1), halves)
        for row in 0..<own.columns {
            let step = level.steps[group, row / height], zero = level.zeros[group, row / height]
            let code = min(max((own.base[row] / max(step, 1e-9) + zero).rounded(.toNearestOrEven), 0), SpQRScales.mostLevel)
            codes[group, row] = UInt8(code)
            own.base[row] = code - zero
        }
        ScaleType.f16.round(own, halves)
        for row in 0..<own.columns { own.base[row] *= level.steps[group, row / height] }
        ScaleType.f16.round(own, halves)
    }

    /// Beyond which a zero point in half precision has no room for the codes beside it.
    private static let mostZero: Float = 2048

    /// Step and zero point of a grid from the least to the largest number, or to 0 where they lie too near to each other for half precision.
    private static func grid(_ numbers: [Float]) -> (step: Float, zero: Float) {
        guard var low = numbers.min(), var high = numbers.max() else { return (0, 0) }
        if !(max(low.magnitude, high.magnitude) * SpQRScales.mostLevel <= mostZero * (high - low)) { (low, high) = (min(low, 0), max(high, 0)) }
        guard low < high else { return (0, 0) }
        let step = (high - low) / SpQRScales.mostLevel
        return (step, -low / step)
    }

    /// Those of the real rows.
    ///
    /// - Parameter outliers: [columns, lanes]
    func byRow(_ tile: Tile, outliers: Matrix<Float>) -> SpQRScales {
        func byBlock(_ numbers: Matrix<Float>) -> Matrix<Float> { numbers.columns(0..<SpQRScales.blocks(rows: tile.rows)).transposed() }
        func byRow(_ codes: Matrix<UInt8>) -> Matrix<UInt8> {
            let result = Matrix<UInt8>(uninitialized: tile.rows, codes.rows)
            for row in 0..<tile.rows { for group in 0..<codes.rows { result[row, group] = codes[group, row] } }
            return result
        }
        let halves = Matrix<UInt16>(uninitialized: outliers.rows, outliers.columns)
        Numbers.narrow(outliers.base, intoFloat16: halves.base, count: outliers.count)
        return SpQRScales(
            scaleCodes: byRow(scaleCodes), zeroCodes: byRow(zeroCodes), scaleSteps: byBlock(scaleLevel.steps), scaleZeros: byBlock(scaleLevel.zeros),
            zeroSteps: byBlock(zeroLevel.steps), zeroZeros: byBlock(zeroLevel.zeros), outliers: tile.original(halves))
    }
}
