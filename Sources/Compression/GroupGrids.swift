// The grids of all groups of a tile.

import LinearAlgebra

struct GroupGrids {
    /// [groups, lanes]
    let scales: Matrix<Float>
    let zeros: Matrix<Float>
    /// Position in the order of quantization -> group.
    let groupOfPosition: [Int32]
    private let options: QuantizationOptions
    /// Nil where the layer has none.
    private let factor: FactorOutline?
    private let search: GridSearch

    /// What divides the scales of the whole tensor.
    let divisor: Float?

    /// - Parameter tensorMagnitude: the largest magnitude of all weights of the layer, for types of numbers that want it; nil: the tile is the layer.
    init(_ tile: Tile, _ factor: FactorOutline?, _ options: QuantizationOptions, tensorMagnitude: Float? = nil) {
        let groups = options.groupCount(columns: tile.columns)
        scales = Matrix(repeating: 1, groups, tile.lanes)
        zeros = Matrix(repeating: 0, groups, tile.lanes)
        let width = options.group == -1 ? tile.columns : options.group
        let columns = options.hasGroupsOfColumns ? tile.permutation : nil
        groupOfPosition = (0..<tile.columns).map { Int32((columns?[$0] ?? $0) / width) }
        self.options = options
        self.factor = factor
        let magnitude = tensorMagnitude ?? (options.needsTensorMagnitude ? maxMagnitude(tile.weights) : 0)
        divisor = options.number.rules?.divisor(magnitude)
        search = GridSearch(options, columns: width, rows: tile.lanes, tensorMagnitude: magnitude)
    }

    /// Grids whose scale had to be clamped, see `GridSearch`; rows of padding have none.
    var clampedScales: Int { search.clampedScales }

    /// The grid of the group that begins at `columns`, in its updated weights.
    /// - Parameter kept: [columns, lanes], 0 for weights that become zero whatever the grid; nil keeps all.
    func find(_ columns: Range<Int>, updated: Matrix<Float>, kept: Matrix<UInt8>? = nil, r: FactorPanel) {
        find(Int(groupOfPosition[columns.lowerBound]), updated, kept) {
            let block = r.block(columns, columns).transposed()
            if let factor { for (index, position) in columns.enumerated() { block[index, index] = factor.comparedDiagonal[position] } }
            return .block(block)
        }
    }

    /// The grids of all groups, in the original weights.
    func findAll(_ tile: Tile) throws(CompressionError) {
        guard factor != nil || !options.grid.isHessianAware else {
            throw .missingFactor("grid \(options.grid.rawValue) needs the factor of the layer's Hessian")
        }
        for (group, positions) in positionsOfGroups().enumerated() {
            let values = Matrix<Float>(uninitialized: positions.count, tile.lanes)
            for (index, position) in positions.enumerated() { values.row(index).update(from: tile.weights.row(position), count: tile.lanes) }
            find(group, values, nil) { factor.map { factor in .diagonal(positions.map { factor.comparedDiagonal[$0] }) } }
        }
    }

    private func positionsOfGroups() -> [[Int]] {
        var result = [[Int]](repeating: [], count: scales.rows)
        for (position, group) in groupOfPosition.enumerated() { result[Int(group)].append(position) }
        return result
    }

    private func find(_ group: Int, _ values: Matrix<Float>, _ kept: Matrix<UInt8>?, factor: () -> GroupFactor?) {
        search.find(
            values, kept: kept, factor: options.grid.isHessianAware ? factor() : nil, scales: scales.rows(group..<group + 1),
            zeros: zeros.rows(group..<group + 1))
    }
}
