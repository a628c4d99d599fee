// The grids of all groups of a tile.

import LinearAlgebra

struct GroupGrids {
    /// [groups, lanes]
    let scales: Matrix<Float>
    let zeros: Matrix<Float>
    /// Position in the order of quantization -> group.
    let groupOfPosition: [Int32]
    private let options: QuantizationOptions
    private let search: GridSearch

    init(_ tile: Tile, _ options: QuantizationOptions) {
        let groups = options.groupCount(columns: tile.columns)
        scales = Matrix(repeating: 1, groups, tile.lanes)
        zeros = Matrix(repeating: 0, groups, tile.lanes)
        let width = options.group == -1 ? tile.columns : options.group
        let columns = options.hasScatteredGroups ? tile.permutation : nil
        groupOfPosition = (0..<tile.columns).map { Int32((columns?[$0] ?? $0) / width) }
        self.options = options
        search = GridSearch(options, rows: tile.lanes)
    }

    /// The grid of the group that begins at `columns`, in its updated weights.
    func find(_ columns: Range<Int>, updated: Matrix<Float>, r: Matrix<Float>) {
        find(Int(groupOfPosition[columns.lowerBound]), updated) { Self.runs(columns, r) }
    }

    /// The grids of all groups, in the original weights.
    func findAll(_ tile: Tile, factor: Factor?) throws(CompressionError) {
        if options.hasScatteredGroups, let permutation = tile.permutation {
            return try findScattered(tile, positions(ofGroups: options.group, permutation), factor?.scatteredGroups)
        }
        if options.grid == .hessian && factor == nil {
            throw .missingFactor("the Hessian-aware grid needs the factor of the layer's Hessian")
        }
        for (group, columns) in options.groups(columns: tile.columns).enumerated() {
            find(group, tile.weights.rows(columns)) { factor.map { Self.runs(columns, $0.r) } ?? [] }
        }
    }

    private func findScattered(_ tile: Tile, _ positions: [[Int]], _ scattered: ScatteredGroups?) throws(CompressionError) {
        if options.grid == .hessian && scattered?.group != options.group {
            throw .missingFactor(
                "act-order with static groups of \(options.group) and the Hessian-aware grid need a factor made for scattered groups of that size")
        }
        let groups = options.groups(columns: tile.columns)
        for (group, positions) in positions.enumerated() {
            let values = Matrix<Float>(uninitialized: positions.count, tile.lanes)
            for (index, position) in positions.enumerated() { values.row(index).update(from: tile.weights.row(position), count: tile.lanes) }
            find(group, values) { scattered?.runs(of: groups[group]) ?? [] }
        }
    }

    private func find(_ group: Int, _ values: Matrix<Float>, runs: () -> [Matrix<Float>]) {
        search.find(values, runs: runs, scales: scales.rows(group..<group + 1), zeros: zeros.rows(group..<group + 1))
    }

    /// R_GG^T of each run of the columns.
    private static func runs(_ columns: Range<Int>, _ r: Matrix<Float>) -> [Matrix<Float>] {
        columns.cut(every: GridSearch.runColumns).map { run in
            let result = Matrix<Float>(uninitialized: run.count, run.count)
            for i in 0..<run.count {
                let source = r.row(run.lowerBound + i) + run.lowerBound
                for j in 0..<run.count { result.base[j * run.count + i] = source[j] }
            }
            return result
        }
    }
}
