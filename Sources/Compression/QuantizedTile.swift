// What becomes of a tile's weights: codes on a grid.

internal import CKernels
public import LinearAlgebra

public struct QuantizedTile: @unchecked Sendable {
    /// What scales multiply.
    public let number: NumberType
    /// [rows, columns], in the original order of columns, 0 ..< 2^bits.
    public let codes: Matrix<UInt8>
    /// [rows, groups], each exactly a number of the options' scale type. Of ternary rows [rows, 2]: the number below 0 and that above.
    public let scales: Matrix<Float>
    /// [rows, groups]; 2^(bits - 1) for symmetric grids of integers. Of ternary rows, of blocks and of SpQR there are none.
    public let zeros: Matrix<UInt8>
    /// Columns of a group, -1 for all.
    public let group: Int
    /// Column -> group, where a group is not `group` neighbouring columns: act-order without static groups.
    public let groupOfColumn: [Int32]?
    /// Output error of each row: ||(w - q) R||^2; empty when there was no factor.
    public let loss: [Double]
    /// Output of the first rows: ||w R||^2, so that their loss / energy is the relative output error; empty when not asked for.
    public let energy: [Double]
    /// One number for the whole layer by which the stored scales are divided; `scales` are so already.
    public let divisor: Float?
    /// What `scales` and offsets of blocks follow from; nil of other types.
    public let blocks: BlockScales?
    /// What `scales`, zero points and outliers of SpQR follow from; nil of other types.
    public let spqr: SpQRScales?
    /// Scales that would have to lie outside the normal numbers of their type, and are the nearest one.
    public let clampedScales: Int

    public init(
        codes: Matrix<UInt8>, scales: Matrix<Float>, zeros: Matrix<UInt8>, group: Int, groupOfColumn: [Int32]?, loss: [Double], energy: [Double],
        clampedScales: Int = 0, number: NumberType = .int, divisor: Float? = nil, blocks: BlockScales? = nil, spqr: SpQRScales? = nil
    ) {
        self.spqr = spqr
        self.blocks = blocks
        self.number = number
        self.divisor = divisor
        self.codes = codes
        self.scales = scales
        self.zeros = zeros
        self.group = group
        self.groupOfColumn = groupOfColumn
        self.loss = loss
        self.energy = energy
        self.clampedScales = clampedScales
    }

    /// The weights that clients will see: scale (code - zero), or scale times the number of a code, into [rows, columns].
    public func dequantize(into weights: Matrix<Float>) {
        precondition(weights.rows == codes.rows && weights.columns == codes.columns, "\(codes.rows) x \(codes.columns) into another shape")
        let width = group == -1 ? max(codes.columns, 1) : group
        if let spqr { return spqr.dequantize(codes, groups: groupOfColumn?.map { Int($0) } ?? (0..<codes.columns).map { $0 / width }, into: weights) }
        if let blocks, let rules = number.blocks { return blocks.dequantize(codes, rules, into: weights) }
        if number == .ternary { return dequantizeTernary(into: weights) }
        if let rules = number.rules { return dequantize(rules.numbers, width, into: weights) }
        for row in 0..<codes.rows {
            let (code, scale, zero, target) = (codes.row(row), scales.row(row), zeros.row(row), weights.row(row))
            if let groupOfColumn {
                for column in 0..<codes.columns {
                    let group = Int(groupOfColumn[column])
                    target[column] = scale[group] * Float(Int(code[column]) - Int(zero[group]))
                }
                continue
            }
            for (group, columns) in (0..<codes.columns).cut(every: width).enumerated() {
                let (scale, zero) = (scale[group], Int32(zero[group]))
                for column in columns { target[column] = scale * Float(Int32(code[column]) &- zero) }
            }
        }
    }
}

extension QuantizedTile {
    /// - Parameter numbers: by their codes.
    private func dequantize(_ numbers: [Float], _ width: Int, into weights: Matrix<Float>) {
        numbers.withUnsafeBufferPointer { numbers in
            for row in 0..<codes.rows {
                let (code, scale, target) = (codes.row(row), scales.row(row), weights.row(row))
                if let groupOfColumn {
                    for column in 0..<codes.columns { target[column] = scale[Int(groupOfColumn[column])] * numbers[Int(code[column])] }
                    continue
                }
                for (group, columns) in (0..<codes.columns).cut(every: width).enumerated() {
                    for column in columns { target[column] = scale[group] * numbers[Int(code[column])] }
                }
            }
        }
    }

    private func dequantizeTernary(into weights: Matrix<Float>) {
        for row in 0..<codes.rows {
            let (code, target, low, high) = (codes.row(row), weights.row(row), scales[row, 0], scales[row, 1])
            for column in 0..<codes.columns { target[column] = code[column] == 0 ? 0 : code[column] == 1 ? low : high }
        }
    }

    init(_ tile: Tile, codes: Matrix<UInt8>, grids: GroupGrids, options: QuantizationOptions, loss: [Double], energy: [Double]) {
        number = options.number
        spqr = nil
        divisor = grids.divisor
        self.codes = tile.original(codes)
        blocks = grids.blockScales(tile)
        if number == .ternary {
            scales = Matrix(uninitialized: tile.rows, 2)
            for row in 0..<tile.rows { (scales[row, 0], scales[row, 1]) = (grids.scales[0, row], grids.zeros[0, row]) }
            zeros = Matrix(uninitialized: tile.rows, 0)
        } else {
            scales = tile.byRow(grids.scales) { $0 }
            zeros = blocks == nil ? tile.byRow(grids.zeros) { UInt8($0) } : Matrix(uninitialized: tile.rows, 0)
        }
        group = options.group
        groupOfColumn = tile.groupOfColumn(grids.groupOfPosition, options)
        self.loss = loss
        self.energy = energy
        clampedScales = grids.clampedScales
    }
}

extension QuantizedTile {
    init(_ tile: Tile, _ method: SpQR, options: QuantizationOptions, loss: [Double], energy: [Double]) {
        let found = method.grids.byRow(tile, outliers: method.outliers)
        self.init(
            codes: tile.original(method.codes), scales: found.scales(), zeros: Matrix(uninitialized: tile.rows, 0), group: options.group,
            groupOfColumn: tile.groupOfColumn(method.groupOfPosition, options), loss: loss, energy: energy, number: .spqr, spqr: found)
    }
}

extension Tile {
    /// Column -> group; nil where groups are of neighbouring columns.
    fileprivate func groupOfColumn(_ groupOfPosition: [Int32], _ options: QuantizationOptions) -> [Int32]? {
        guard let permutation, options.hasPermutedGroups else { return nil }
        var groups = [Int32](repeating: 0, count: columns)
        for (position, column) in permutation.enumerated() { groups[column] = groupOfPosition[position] }
        return groups
    }

    /// The first rows, whose output is measured: one set of lanes, since all rows would take as many multiplications as solving them.
    var sampledRows: Int { min(Int(cleave_lanes), rows) }

    /// Their weights: [columns, lanes]
    var sampled: Matrix<Float> { weights.columns(0..<min(Int(cleave_lanes), lanes)) }
}
