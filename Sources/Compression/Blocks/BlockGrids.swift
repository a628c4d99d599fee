// The scales and offsets of all blocks of a tile, as its columns are solved.

import LinearAlgebra

struct BlockGrids {
    let rules: BlockRules
    /// A and B: [groups, lanes]
    let scales: Matrix<Float>
    let offsets: Matrix<Float>
    /// What stores them: [blocks, lanes] and [groups, lanes].
    private let blockScales: Matrix<Float>
    private let blockOffsets: Matrix<Float>
    private let levels: Matrix<Float>
    private let offsetLevels: Matrix<Float>
    private let search: BlockSearch

    init(_ rules: BlockRules, _ grid: Grid, columns: Int, lanes: Int) {
        precondition(columns % rules.columns == 0, "\(columns) columns are no whole blocks of \(rules.columns)")
        self.rules = rules
        let blocks = columns / rules.columns, groups = columns / rules.groupColumns
        scales = Matrix(repeating: 0, groups, lanes)
        offsets = Matrix(repeating: 0, groups, lanes)
        blockScales = Matrix(repeating: 0, blocks, lanes)
        blockOffsets = Matrix(repeating: 0, blocks, lanes)
        levels = Matrix(repeating: 1, groups, lanes)
        offsetLevels = Matrix(repeating: 1, groups, lanes)
        search = BlockSearch(rules, grid, rows: lanes)
    }

    var clampedScales: Int { search.clampedScales }

    /// Finds the grids of a block.
    ///
    /// - Parameters:
    ///   - values: [columns, lanes], its weights in the order of quantization.
    ///   - groups: of each of them, counted over the tile.
    ///   - weights: how much each column's error counts; nil: all the same.
    func find(_ block: Int, _ values: Matrix<Float>, groups: [Int32], weights: [Float]?) {
        let own = block * rules.groups..<(block + 1) * rules.groups
        search.find(
            values, groups: groups.map { Int($0) - own.lowerBound }, weights: weights,
            into: BlockParts(
                scales: scales.rows(own), offsets: offsets.rows(own), blockScales: blockScales.rows(block..<block + 1),
                blockOffsets: blockOffsets.rows(block..<block + 1), levels: levels.rows(own), offsetLevels: offsetLevels.rows(own)))
    }

    /// Those of the real rows.
    func byRow(_ tile: Tile) -> BlockScales {
        BlockScales(
            scales: tile.byRow(blockScales) { $0 }, offsets: tile.byRow(blockOffsets) { $0 }, levels: tile.byRow(levels) { $0 },
            offsetLevels: tile.byRow(offsetLevels) { $0 })
    }
}
