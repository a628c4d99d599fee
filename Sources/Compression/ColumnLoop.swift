// The loop that GPTQ, SparseGPT and their relatives share: column after column, each sees the errors of those before it.

internal import CKernels
import LinearAlgebra

/// The state of the loop over one tile, transposed: [columns, rows] in the order of quantization, rows padded to the kernels' lanes.
///
/// The published loop pushes a column's error to all columns on its right, through U = R^-1. In terms of R, with e = w - q (the original weight
/// minus its replacement), column j sees
///
///     v_j = w_j + (sum over i < j of e_i R_ij) / R_jj
///
/// and the output error of a row is ||e R||^2 = sum over j of ((v_j - q_j) R_jj)^2. The sums are gathered by one product for each block of
/// columns, then by smaller ones for the ranges inside it, and by a kernel for the last few columns. Ranges depend on column numbers alone.
/// R is needed one outermost range of columns after the other (`FactorPanel`), so that the whole of it need not lie in one place. What an outermost range
/// gathers is nearly all of the work in long rows: it is the sum of products that threads may share.
///
/// With bf16 products the errors of earlier outermost ranges, and R with them, are rounded to bf16 when they are gathered: what a column sees of them is
/// off by some thousandths, while its own code is still the best one for what it sees, and its error is taken in full.
package struct ColumnLoop {
    /// Columns over which one product of an outermost range goes, and for which: the sums of several of the first kind are added in order.
    package static let gatheredColumns = 4096
    private static let columnsOfProduct = ColumnRanges.blockColumns

    /// The columns of R at which the loop is.
    let r: FactorPanel
    /// [columns, rows]
    let weights: Matrix<Float>
    /// [columns, rows]: e_j once column j is solved; before that, the sum of e_i R_ij gathered so far. Zero at the start.
    let errors: Matrix<Float>
    /// The errors of outermost ranges that are solved, where R is narrowed: [columns, rows]
    var narrowedErrors: Matrix<BFloat16>?

    /// Takes the columns of the panel: whole outermost ranges of the method. Those before them must be solved.
    func run(_ method: some ColumnMethod) {
        let widths = method.widths
        for part in r.columns.cut(every: widths[0]) {
            gatherEarlier(into: part, width: widths[0])
            method.begin(part, width: widths[0], self)
            visit(part, widths.dropFirst(), method)
        }
    }

    /// Completes the sums of `range` up to its first column, for a loop that is taken range by range in order; those that begin a panel gather for all
    /// of it. Panels must be made of whole ranges.
    func reach(_ range: Range<Int>) {
        let start = range.lowerBound / ColumnRanges.panelColumns * ColumnRanges.panelColumns
        if start == range.lowerBound { gatherEarlier(into: start..<min(start + ColumnRanges.panelColumns, weights.rows), width: ColumnRanges.panelColumns) }
        gather(start..<range.lowerBound, into: range)
    }

    /// Solves a range that has been reached.
    func run(_ method: some ColumnMethod, over range: Range<Int>) {
        visit(range, method.widths[...], method)
    }

    /// Precondition: the sums of `range` hold all errors before it.
    private func visit(_ range: Range<Int>, _ widths: ArraySlice<Int>, _ method: some ColumnMethod) {
        guard let width = widths.first else {
            method.solve(range, self)
            return
        }
        for part in range.cut(every: width) {
            gather(range.lowerBound..<part.lowerBound, into: part)
            method.begin(part, width: width, self)
            visit(part, widths.dropFirst(), method)
        }
    }

    /// The sums of an outermost range over all columns before it; nothing has been gathered for it so far.
    /// - Parameter width: of outermost ranges.
    private func gatherEarlier(into range: Range<Int>, width: Int) {
        guard range.lowerBound > 0 else { return }
        let last = range.lowerBound - width..<range.lowerBound
        if let narrowedErrors { convert(errors.rows(last), into: narrowedErrors.rows(last)) }
        let parts = (0..<range.lowerBound).cut(every: Self.gatheredColumns)
        let sums = parts.indices.map { $0 == 0 ? errors.rows(range) : Matrix<Float>(uninitialized: range.count, errors.columns) }
        let pieces = range.cut(every: Self.columnsOfProduct)
        parallelFor(parts.count * pieces.count) { index in
            let (part, piece) = (index / pieces.count, pieces[index % pieces.count])
            let sum = sums[part].rows(piece.lowerBound - range.lowerBound..<piece.upperBound - range.lowerBound)
            if let narrowed = r.narrowed, let narrowedErrors {
                narrowed.gather(narrowedErrors, parts[part], for: piece, into: sum)
            } else {
                multiply(r.block(parts[part], piece), errors.rows(parts[part]), transposeA: true, into: sum)
            }
        }
        for part in sums.dropFirst() { cleave_add(errors.row(range.lowerBound), part.base, part.count) }
    }

    /// Shapes of products of a tile: of each outermost range, over 4096 columns and over those that are left; and of each block, for what is reported.
    package static func productShapes(columns: Int) -> Int {
        (columns + ColumnRanges.panelColumns - 1) / ColumnRanges.panelColumns * 2 + (columns + ColumnRanges.blockColumns - 1) / ColumnRanges.blockColumns
    }

    /// How much faster a tile's gathering is when threads share its products.
    package static func gain(columns: Int, threads: Int) -> Double {
        let panel = ColumnRanges.panelColumns
        let pieces = panel / columnsOfProduct
        let products = stride(from: panel, to: max(columns, panel + 1), by: panel).map { pieces * (($0 + gatheredColumns - 1) / gatheredColumns) }
        return Double(products.reduce(0, +)) / Double(products.reduce(0) { $0 + ($1 + threads - 1) / threads })
    }

    /// The same of its search for ranges.
    package static func searchGain(rows: Int, threads: Int) -> Double { RowSearches.gain(rows: rows, threads: threads) }

    /// Columns that are gathered for a weight in about the time of the search for its range; measured on Zen 4 (`Benchmarks/profiles`), and decides no bits.
    private static let columnsOfSearch = 5600.0

    /// Of a rank's tiles, those that are left over when every thread has had as many, where they are faster one after the other than side by side.
    ///
    /// - Parameter rows: of a tile.
    package static func alone(tiles: Int, rows: Int, columns: Int, threads: Int) -> Int {
        let rest = tiles % threads, gathering = Double(columns)
        let shared = gathering / gain(columns: columns, threads: threads) + columnsOfSearch / searchGain(rows: rows, threads: threads)
        // What is neither gathered nor searched gains nothing.
        return 1.25 * Double(rest) * shared <= gathering + columnsOfSearch ? rest : 0
    }

    /// Bytes of what is added to the sums of a tile of so many rows.
    package static func partialBytes(columns: Int, lanes: Int) -> Int {
        max((columns - 1) / gatheredColumns, 0) * ColumnRanges.panelColumns * lanes * MemoryLayout<Float>.stride
    }

    /// sums(to) += E(from) R(from, to)
    private func gather(_ from: Range<Int>, into to: Range<Int>) {
        guard !from.isEmpty else { return }
        multiply(r.block(from, to), errors.rows(from), transposeA: true, into: errors.rows(to), beta: 1)
    }

    /// The weights of some columns as they are after all errors before them; those before must be solved, and the sums gathered.
    ///
    /// They are what makes the columns' part of e R vanish: W_G + A_G R_GG^-1, with A_G = E_<G R_<G,G the sums. Solving the triangular system
    /// is the column loop itself with a method that accepts every v_j as it is. (The published code reads the weights before the errors of
    /// the current block of 128 columns have reached them, which matters for groups narrower than the block only; this is the paper's text,
    /// "the most current updated weights".)
    func updatedWeights(_ range: Range<Int>) -> Matrix<Float> {
        let scratch = errors.rows(range).copy()
        let weights = weights.rows(range)
        let own = FactorPanel(columns: 0..<range.count, values: r.block(range, range), narrowed: nil)
        ColumnLoop(r: own, weights: weights, errors: scratch).run(AcceptUpdatedWeights())
        for index in 0..<scratch.count { scratch.base[index] = weights.base[index] - scratch.base[index] }
        return scratch
    }
}

/// What a method does in the column loop.
protocol ColumnMethod {
    /// Widths of the nested ranges, widest first; the last is that of the leaves.
    var widths: [Int] { get }
    /// Called when the sums of a range are complete up to its first column.
    func begin(_ columns: Range<Int>, width: Int, _ loop: ColumnLoop)
    /// Solves the columns of a leaf: turns their sums into errors.
    func solve(_ columns: Range<Int>, _ loop: ColumnLoop)
}

extension ColumnLoop {
    /// The columns of a leaf as the kernels take them.
    func kernelColumns(_ columns: Range<Int>) -> cleave_columns {
        cleave_columns(
            columns: columns.count, rows: weights.columns, factor: r.block(columns, columns).base, factor_stride: r.values.stride,
            weights: weights.row(columns.lowerBound), errors: errors.row(columns.lowerBound))
    }
}

/// Takes v_j for q_j: leaves w - v in the errors.
private struct AcceptUpdatedWeights: ColumnMethod {
    let widths = ColumnRanges.widths(group: nil)

    func begin(_ columns: Range<Int>, width: Int, _ loop: ColumnLoop) {}

    func solve(_ columns: Range<Int>, _ loop: ColumnLoop) {
        var columns = loop.kernelColumns(columns)
        cleave_update_columns(&columns)
    }
}
