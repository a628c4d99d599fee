// The scales and offsets of one block, while they are found.

import LinearAlgebra

/// What is found of a block, for every row of a tile.
struct BlockParts {
    /// A and B: [groups of a block, lanes]
    let scales: Matrix<Float>
    let offsets: Matrix<Float>
    /// [1, lanes]
    let blockScales: Matrix<Float>
    let blockOffsets: Matrix<Float>
    /// [groups of a block, lanes]
    let levels: Matrix<Float>
    let offsetLevels: Matrix<Float>

    /// Makes A and B of a group of a row anew from what stores them.
    func update(_ group: Int, _ row: Int, _ rules: BlockRules) {
        scales[group, row] = blockScales.base[row] * levels[group, row]
        offsets[group, row] = rules.zero.map { scales[group, row] * Float($0) } ?? blockOffsets.base[row] * offsetLevels[group, row]
    }
}
