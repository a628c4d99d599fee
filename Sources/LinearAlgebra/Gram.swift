// X^T X of one batch, and its exact sum over batches.

internal import CKernels

/// The sum of X^T X over batches, exact: adding the same batches in any order, on any ranks, gives the same bits.
///
/// Only the blocks on and above the diagonal are computed and kept (`ColumnBlocks`). The sum may be of some columns only: its blocks have the same
/// bits. `ExactBlocks` says why no addition rounds.
public final class GramSum: @unchecked Sendable {
    /// The columns of X^T X that are here.
    public let part: Range<Int>
    /// Their sums from left to right, one panel for each of `ColumnBlocks.ranges(of:)`.
    public let panels: [Panel]
    private let blocks: ExactBlocks

    /// Some columns of the sum, which have memory of their own.
    public struct Panel: Sendable {
        /// Of X^T X: from the first row, or that of the block on the diagonal, to the last that is not below the diagonal.
        public let rows: Range<Int>
        public let columns: Range<Int>
        /// [rows.count, columns.count], zeros below the blocks on the diagonal.
        public let values: Matrix<Double>

        /// - Parameter values: [rows.count, columns.count]
        package init(rows: Range<Int>, columns: Range<Int>, values: Matrix<Double>) {
            precondition(values.rows == rows.count && values.columns == columns.count, "[\(values.rows), \(values.columns)] for \(rows), \(columns)")
            (self.rows, self.columns, self.values) = (rows, columns, values)
        }

        /// A window; rows and columns as X^T X counts them.
        package func block(_ rows: Range<Int>, _ columns: Range<Int>) -> Matrix<Double> {
            values.rows(rows.lowerBound - self.rows.lowerBound..<rows.upperBound - self.rows.lowerBound)
                .columns(columns.lowerBound - self.columns.lowerBound..<columns.upperBound - self.columns.lowerBound)
        }
    }

    /// - Parameters:
    ///   - columns: columns of X.
    ///   - part: whole ranges of `ColumnBlocks.ranges(of: columns)`; nil: all.
    ///   - tokens: rows of X over all batches of all ranks.
    ///   - maxMagnitude: the largest |x| over all batches of all ranks, finite.
    ///   - diagonal: a sum of the blocks on the diagonal over the same batches; they are then copied from it and not added again.
    ///   - share: of several sums that see the same batches, this one takes some blocks; the others stay zero.
    public init(
        columns: Int, part: Range<Int>? = nil, tokens: Int, maxMagnitude: Float, diagonal: GramSum? = nil, share: (index: Int, count: Int) = (0, 1)
    ) {
        let part = part ?? 0..<columns, all = ColumnBlocks.ranges(of: columns)
        let ranges = all.filter { part.contains($0.lowerBound) }
        precondition(part.isEmpty || ranges.first?.lowerBound == part.lowerBound && ranges.last?.upperBound == part.upperBound, "part \(part)")
        panels = Self.zeros(ranges.map { (0..<$0.upperBound, $0) })
        var blocks: [ExactBlocks.Block] = []
        for panel in panels {
            func add(_ rows: Range<Int>, _ columns: Range<Int>) {
                blocks.append(ExactBlocks.Block(rows: rows, columns: columns, target: panel.block(rows, columns)))
            }
            for rows in all where rows.upperBound <= panel.columns.lowerBound { add(rows, panel.columns) }
            if let known = diagonal?.panels.first(where: { $0.columns == panel.columns }) {
                panel.block(panel.columns, panel.columns).assign(known.block(panel.columns, panel.columns))
            } else {
                ColumnBlocks.forEach(onDiagonal: panel.columns, add)
            }
        }
        self.part = part
        self.blocks = ExactBlocks(blocks, share: share, tokens: tokens, maxMagnitudes: (maxMagnitude, maxMagnitude))
    }

    /// The sum of the blocks on the diagonal alone.
    public init(diagonalOf columns: Int, tokens: Int, maxMagnitude: Float, share: (index: Int, count: Int) = (0, 1)) {
        panels = Self.zeros(ColumnBlocks.ranges(of: columns).map { ($0, $0) })
        var blocks: [ExactBlocks.Block] = []
        for panel in panels {
            ColumnBlocks.forEach(onDiagonal: panel.columns) { blocks.append(ExactBlocks.Block(rows: $0, columns: $1, target: panel.block($0, $1))) }
        }
        part = 0..<columns
        self.blocks = ExactBlocks(blocks, share: share, tokens: tokens, maxMagnitudes: (maxMagnitude, maxMagnitude))
    }

    private static func zeros(_ shapes: [(rows: Range<Int>, columns: Range<Int>)]) -> [Panel] {
        parallelMap(shapes.count) { index in
            let (rows, columns) = shapes[index]
            return Panel(rows: rows, columns: columns, values: Matrix(zeros: rows.count, columns.count))
        }
    }

    /// The diagonal of X^T X: of the part's columns.
    public func diagonal() -> [Double] {
        panels.flatMap { panel in panel.columns.map { panel.values[$0 - panel.rows.lowerBound, $0 - panel.columns.lowerBound] } }
    }

    /// A copy in one matrix, zeros elsewhere: [part.upperBound, part.count].
    package func matrix() -> Matrix<Double> {
        let result = Matrix<Double>(zeros: part.upperBound, part.count)
        for panel in panels {
            result.rows(panel.rows).columns(panel.columns.lowerBound - part.lowerBound..<panel.columns.upperBound - part.lowerBound).assign(panel.values)
        }
        return result
    }

    /// Adds X^T X of one batch, x: [tokens, columns].
    public func add(_ x: Matrix<Float>) { blocks.add(x, x) }

    /// Adds X^T X of one batch, x: [tokens, columns].
    public func add(_ x: Matrix<BFloat16>) { blocks.add(x, x, rows: 0..<part.upperBound) }

    /// Bytes beside a batch in bf16 while its product is made.
    /// - Parameter part: the columns that are summed at a time, of `columns`.
    public static func operandBytes(columns: Int, part: Int, tokens: Int) -> Int {
        ExactBlocks.packs(columns: columns) ? (columns + part) * tokens * MemoryLayout<BFloat16>.stride : 0
    }

    /// Bytes of the sums of some columns, each from the first row to its block on the diagonal.
    public static func byteCount(columns: Int, part: Range<Int>? = nil) -> Int {
        ColumnBlocks.ranges(of: columns).reduce(0) { bytes, block in
            part?.contains(block.lowerBound) ?? true ? bytes + Pages.rounded(block.upperBound * block.count * MemoryLayout<Double>.stride) : bytes
        }
    }

    /// Multiplications and additions that adding one batch cannot avoid: those of elements on and above the diagonal.
    public func operations(tokens: Int) -> Double {
        blocks.blocks.reduce(0) { sum, block in sum + Double(tokens) * Double(block.elements) * (block.rows == block.columns ? 1 : 2) }
    }
}

/// The largest |x|; infinity when any element is infinite or NaN.
public func maxMagnitude(_ x: Matrix<Float>) -> Float {
    guard x.isContiguous else { return (0..<x.rows).reduce(0) { max($0, maxMagnitude(x.rows($1..<$1 + 1))) } }
    return cleave_max_magnitude_f32(x.base, x.count)
}

/// The largest |x|; infinity when any element is infinite or NaN.
public func maxMagnitude(_ x: Matrix<BFloat16>) -> Float {
    guard x.isContiguous else { return (0..<x.rows).reduce(0) { max($0, maxMagnitude(x.rows($1..<$1 + 1))) } }
    return x.base.withMemoryRebound(to: UInt16.self, capacity: x.count) { cleave_max_magnitude_bf16($0, x.count) }
}
