// The grids of all groups of a tile.

import LinearAlgebra

struct GroupGrids {
    /// What finds the grids of groups: each by itself, or a block of them at once.
    private enum Finder {
        case groups(RowSearches)
        case blocks(BlockGrids)
        case ternary(TernarySearch)
    }

    /// [groups, lanes]
    let scales: Matrix<Float>
    /// Of blocks, their offsets. Of ternary rows `scales` are the numbers below 0, and these those above.
    let zeros: Matrix<Float>
    /// Position in the order of quantization -> group.
    let groupOfPosition: [Int32]
    private let options: QuantizationOptions
    /// Nil where the layer has none.
    private let factor: FactorOutline?
    private let finder: Finder

    /// What divides the scales of the whole tensor.
    let divisor: Float?

    /// - Parameter tensorMagnitude: the largest magnitude of all weights of the layer, for types of numbers that want it; nil: the tile is the layer.
    init(_ tile: Tile, _ factor: FactorOutline?, _ options: QuantizationOptions, tensorMagnitude: Float? = nil) {
        let width = options.number.blocks?.groupColumns ?? (options.group == -1 ? tile.columns : options.group)
        let columns = options.hasGroupsOfColumns ? tile.permutation : nil
        groupOfPosition = (0..<tile.columns).map { Int32((columns?[$0] ?? $0) / width) }
        self.options = options
        self.factor = factor
        if let rules = options.number.blocks {
            let blocks = BlockGrids(rules, options.grid, columns: tile.columns, lanes: tile.lanes)
            (scales, zeros, divisor, finder) = (blocks.scales, blocks.offsets, nil, .blocks(blocks))
            return
        }
        let groups = options.groupCount(columns: tile.columns)
        scales = Matrix(repeating: 1, groups, tile.lanes)
        zeros = Matrix(repeating: 0, groups, tile.lanes)
        if options.number == .ternary {
            (divisor, finder) = (nil, .ternary(TernarySearch(options, rows: tile.lanes)))
            return
        }
        let magnitude = tensorMagnitude ?? (options.needsTensorMagnitude ? maxMagnitude(tile.weights) : 0)
        divisor = options.number.rules?.divisor(magnitude)
        finder = .groups(RowSearches(options, columns: width, rows: tile.lanes, tensorMagnitude: magnitude))
    }

    /// Grids whose scale had to be clamped, see `GridSearch`; rows of padding have none.
    var clampedScales: Int {
        switch finder {
        case .groups(let searches): searches.clampedScales
        case .blocks(let blocks): blocks.clampedScales
        case .ternary: 0
        }
    }

    /// What is stored of blocks; nil of other types.
    func blockScales(_ tile: Tile) -> BlockScales? {
        if case .blocks(let blocks) = finder { blocks.byRow(tile) } else { nil }
    }

    /// The grid of the group that begins at `columns`, in its updated weights.
    /// - Parameter kept: [columns, lanes], 0 for weights that become zero whatever the grid; nil keeps all.
    func find(_ columns: Range<Int>, updated: Matrix<Float>, kept: Matrix<UInt8>? = nil, r: FactorPanel) {
        if case .blocks(let blocks) = finder { return find(Array(columns), updated, blocks) }
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
        for (group, positions) in positionsFoundTogether().enumerated() {
            let values = Matrix<Float>(uninitialized: positions.count, tile.lanes)
            for (index, position) in positions.enumerated() { values.row(index).update(from: tile.weights.row(position), count: tile.lanes) }
            if case .blocks(let blocks) = finder {
                find(positions, values, blocks)
                continue
            }
            if case .ternary(let search) = finder {
                search.find(values, weights: weights(positions), low: scales, high: zeros)
                continue
            }
            find(group, values, nil) { factor.map { factor in .diagonal(positions.map { factor.comparedDiagonal[$0] }) } }
        }
    }

    /// The positions of each group, or of each block.
    private func positionsFoundTogether() -> [[Int]] {
        let groups = options.number.blocks?.groups ?? 1
        var result = [[Int]](repeating: [], count: scales.rows / groups)
        for (position, group) in groupOfPosition.enumerated() { result[Int(group) / groups].append(position) }
        return result
    }

    /// The grids of the block at some positions.
    private func find(_ positions: [Int], _ values: Matrix<Float>, _ blocks: BlockGrids) {
        let groups = positions.map { groupOfPosition[$0] }
        blocks.find(Int(groups[0]) / blocks.rules.groups, values, groups: groups, weights: weights(positions))
    }

    /// How much the squared errors of columns count where the Hessian says it; nil: all the same.
    private func weights(_ positions: [Int]) -> [Float]? {
        guard options.grid == .hessian, let factor else { return nil }
        return positions.map { factor.comparedDiagonal[$0] * factor.comparedDiagonal[$0] }
    }

    private func find(_ group: Int, _ values: Matrix<Float>, _ kept: Matrix<UInt8>?, factor: () -> GroupFactor?) {
        guard case .groups(let searches) = finder else { preconditionFailure("the grid of one group of a block") }
        searches.find(
            values, kept: kept, factor: options.grid.isHessianAware ? factor() : nil, scales: scales.rows(group..<group + 1),
            zeros: zeros.rows(group..<group + 1))
    }
}
