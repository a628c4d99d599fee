// The largest parts of a stage's weights and tiles, of which memory models and costs are made.

internal import Compression
internal import Recipes
internal import Transformers

extension StagePlan {
    /// Whether masks go through all rows of a linear: all tiles of a rank are then at work at once, with the whole of R.
    var prunes: Bool { linears.contains { $0.pruning != nil } }

    /// Rows of the highest tile.
    package var tileRows: Int { tiles.map(\.rows.count).max() ?? 0 }

    /// Weights of the largest linear that is stored transposed, or the room that reading it takes.
    var transposedWeights: Int {
        linears.reduce(0) { $1.linear.layout == .columnsByRows ? max($0, $1.linear.rows * $1.linear.columns, $1.linear.transposedNumbers) : $0 }
    }

    /// The widest panel of R that a tile takes.
    var panelColumns: Int {
        linears.flatMap { linear in [linear.options?.panelColumns].compactMap { $0 } + linear.choices.indices.map { choosing($0).panelColumns } }.max() ?? 0
    }

    /// Times that tiles' weights are read: once more where scales depend on the largest of a whole tensor, or outliers on the variance of its columns.
    var timesRead: Double { hasSpQR || linears.contains { $0.options?.needsTensorMagnitude == true } ? 2 : 1 }

    /// Whether a linear is solved by SpQR, whose threshold of outliers follows from all of its rows.
    var hasSpQR: Bool { linears.contains { $0.options?.number == .spqr } }

    /// Bytes of the sums of columns from which those thresholds follow: two fp64 of each tile of a linear, twice while ranks add them.
    var outlierSums: Int {
        linears.indices.filter { linears[$0].options?.number == .spqr }.map { 2 * 2 * 8 * columns * tiles(of: $0).count }.max() ?? 0
    }

    var hasRounding: Bool { linears.contains { $0.treatment?.method == .rtn } }

    /// At most the bytes of a solved tile.
    func bytes(of tile: Tile) -> Int {
        let linear = linears[tile.linear]
        if linear.choices.count > 0 { return linear.choices.indices.map { choosing($0).bytes(of: tile) }.max() ?? 0 }
        let extra = 64 + 8 * (linear.pruning?.comparisons(columns: columns).count ?? 0) + (linear.options?.hasPermutedGroups == true ? columns * 4 : 0)
        switch linear.content {
        case .codes(let options)?:
            let codes = (columns * options.bits + 31) / 32 * 4 + options.groupCount(columns: columns) * 5
            let row = (options.number.blocks?.rowBytes(columns: columns) ?? codes) + options.ternaryBytesOfRow + options.spqrBytesOfRow(columns: columns)
            return tile.rows.count * row + extra
        case .values(let type)?: return tile.rows.count * columns * (type == .f32 ? 4 : 2) + extra
        case nil: return 0
        }
    }
}

extension QuantizationOptions {
    /// Of ternary rows: their second number, and how many codewords they have.
    var ternaryBytesOfRow: Int { number == .ternary ? 8 : 0 }

    /// Of SpQR, bytes of a row of a solved tile beside all these: outliers, how many they are, and its share of what 16 rows have together.
    func spqrBytesOfRow(columns: Int) -> Int { number == .spqr ? 2 * columns + 8 + groupCount(columns: columns) : 0 }
}

extension Plan {
    /// QMoE's dictionary, which counts codewords of ternary tiles, and what it is made of.
    var dictionaryBytes: Int { compressedLinears.contains { $0.options?.number == .ternary } ? 20 << 20 : 0 }
}
