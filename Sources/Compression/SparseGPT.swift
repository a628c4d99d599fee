// SparseGPT (Frantar and Alistarh, ICML 2023): column by column, later weights make up for those that become zero.

internal import CKernels
import LinearAlgebra

/// What SparseGPT does in the column loop.
///
/// A weight's score is the output error that its removal leaves when all later columns make up for it: with the updated weight v_j, published as
/// v_j^2 / U_jj^2. Here it is the square root of that, |v_j| R_jj, in the same order. A share of the weights is pruned for each mask block of
/// columns, over all rows of the layer, in the weights as they are when the loop reaches the block; a pattern n:m is chosen for each m columns of a
/// row, in the weights as they are by then. Weights that are kept may be quantized as in GPTQ, on grids that need not fit those that are not.
struct SparseGPT: ColumnMethod {
    enum Output {
        /// [columns, lanes]
        case values(Matrix<Float>, ScaleType)
        case codes(GroupGrids, Matrix<UInt8>, QuantizationOptions)
    }

    let widths: [Int]
    let mask: Mask
    let output: Output
    /// [1, lanes]
    let loss: Matrix<Double>
    private let pattern: (pruned: Int, of: Int)?
    private let dynamicGroup: Int?
    private let factor: FactorOutline

    init(_ tile: Tile, _ factor: FactorOutline, _ pruning: PruningOptions, _ content: TileContent) {
        self.factor = factor
        switch content {
        case .values(let type):
            output = .values(Matrix(uninitialized: tile.columns, tile.lanes), type)
            dynamicGroup = nil
        case .codes(let options):
            output = .codes(GroupGrids(tile, factor, options), Matrix(uninitialized: tile.columns, tile.lanes), options)
            dynamicGroup = options.hasDynamicGroups ? options.group : nil
        }
        switch (pruning.sparsity, pruning.scope) {
        case (.pattern(let pruned, let of), _):
            pattern = (pruned, of)
            widths = ColumnRanges.widths(group: dynamicGroup, pattern: of)
        case (.share, .blocks(let width)):
            pattern = nil
            widths = ColumnRanges.widths(group: dynamicGroup).filter { $0 <= width }
        case (.share, _):
            pattern = nil
            widths = ColumnRanges.widths(group: dynamicGroup)
        }
        mask = Mask(columns: tile.columns, lanes: tile.lanes)
        loss = Matrix(repeating: 0, 1, tile.lanes)
    }

    func begin(_ columns: Range<Int>, width: Int, _ loop: ColumnLoop) {
        guard width == pattern?.of || width == dynamicGroup else { return }
        let updated = loop.updatedWeights(columns)
        // At a group's beginning the patterns in it are only foreseen, so that its grid can be found; each is chosen again when its turn comes.
        if let pattern { mask.choose(columns, loop.scores(columns, updated, factor), pruned: pattern.pruned, of: pattern.of) }
        guard width == dynamicGroup, case .codes(let grids, _, _) = output else { return }
        grids.find(columns, updated: updated, kept: mask.kept.rows(columns), r: loop.r)
    }

    func solve(_ columns: Range<Int>, _ loop: ColumnLoop) {
        var leaf = loop.kernelColumns(columns)
        let kept = mask.kept.row(columns.lowerBound)
        switch output {
        case .values(let values, let type):
            cleave_prune_columns(&leaf, kept, type.kernelType, values.row(columns.lowerBound), loss.base)
        case .codes(let grids, let codes, let options):
            grids.groupOfPosition.withUnsafeBufferPointer { groups in
                guard let first = groups.baseAddress else { return }
                cleave_quantize_kept_columns(
                    &leaf, grids.scales.base, grids.zeros.base, first + columns.lowerBound, Float(options.maxCode), kept,
                    codes.row(columns.lowerBound), loss.base)
            }
        }
    }
}

extension ColumnLoop {
    /// |v_j| R_jj of columns with the weights `updated`: [columns.count, lanes]. Dead columns have the R_jj of the column in the middle.
    func scores(_ columns: Range<Int>, _ updated: Matrix<Float>, _ factor: FactorOutline) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: updated.rows, updated.columns)
        for (index, column) in columns.enumerated() {
            let (v, score, diagonal) = (updated.row(index), result.row(index), factor.comparedDiagonal[column])
            for lane in 0..<result.columns { score[lane] = v[lane].magnitude * diagonal }
        }
        return result
    }
}
