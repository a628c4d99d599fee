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
    ///   - pages: `sharedByteCount(columns:part:)` bytes, where several processes add to the same sum.
    public convenience init(
        columns: Int, part: Range<Int>? = nil, tokens: Int, maxMagnitude: Float, diagonal: GramSum? = nil, share: (index: Int, count: Int) = (0, 1),
        in pages: SharedPages? = nil
    ) {
        let part = part ?? 0..<columns, shapes = Self.shapes(columns, part)
        precondition(part.isEmpty || shapes.first?.columns.lowerBound == part.lowerBound && shapes.last?.columns.upperBound == part.upperBound, "part \(part)")
        self.init(shapes, of: columns, part: part, tokens: tokens, maxMagnitude: maxMagnitude, diagonal: diagonal, share: share, in: pages)
    }

    /// The sum of the blocks on the diagonal alone.
    ///
    /// - Parameter pages: `sharedByteCount(diagonalOf:)` bytes, where several processes add to the same sum.
    public convenience init(
        diagonalOf columns: Int, tokens: Int, maxMagnitude: Float, share: (index: Int, count: Int) = (0, 1), in pages: SharedPages? = nil
    ) {
        self.init(
            Self.shapes(diagonalOf: columns), of: columns, part: 0..<columns, tokens: tokens, maxMagnitude: maxMagnitude, diagonal: nil, share: share, in: pages
        )
    }

    /// What a panel has of X^T X.
    private typealias Shape = (rows: Range<Int>, columns: Range<Int>)

    private static func shapes(_ columns: Int, _ part: Range<Int>) -> [Shape] {
        ColumnBlocks.ranges(of: columns).filter { part.contains($0.lowerBound) }.map { (0..<$0.upperBound, $0) }
    }

    private static func shapes(diagonalOf columns: Int) -> [Shape] { ColumnBlocks.ranges(of: columns).map { ($0, $0) } }

    private init(
        _ shapes: [Shape], of columns: Int, part: Range<Int>, tokens: Int, maxMagnitude: Float, diagonal: GramSum?, share: (index: Int, count: Int),
        in pages: SharedPages?
    ) {
        panels = pages.map { Self.panels(shapes, in: $0) } ?? Self.zeros(shapes)
        let all = ColumnBlocks.ranges(of: columns)
        var blocks: [ExactBlocks.Block] = []
        for panel in panels {
            let known = diagonal?.panels.first { $0.columns == panel.columns }
            Self.forEachBlock(of: (panel.rows, panel.columns), all, withDiagonal: known == nil) { rows, columns in
                blocks.append(ExactBlocks.Block(rows: rows, columns: columns, target: panel.block(rows, columns)))
            }
            // One process does it for all.
            guard let known, pages?.place.index ?? 0 == 0 else { continue }
            panel.block(panel.columns, panel.columns).assign(known.block(panel.columns, panel.columns))
        }
        if let pages {
            let locks = pages.locks(from: Self.byteCount(shapes), blocks.count)
            for index in blocks.indices { blocks[index].lock = locks[index] }
        }
        self.part = part
        self.blocks = ExactBlocks(
            blocks, share: share, tokens: tokens, maxMagnitudes: (maxMagnitude, maxMagnitude), place: pages?.place ?? (0, 1))
    }

    /// Visits the blocks of a panel, with or without those that make up the one on the diagonal.
    ///
    /// - Parameter all: the ranges of columns of X^T X.
    private static func forEachBlock(
        of panel: Shape, _ all: [Range<Int>], withDiagonal: Bool = true, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void
    ) {
        for rows in all where panel.rows.contains(rows.lowerBound) && rows.upperBound <= panel.columns.lowerBound { body(rows, panel.columns) }
        if withDiagonal { ColumnBlocks.forEach(onDiagonal: panel.columns, body) }
    }

    private static func zeros(_ shapes: [Shape]) -> [Panel] {
        parallelMap(shapes.count) { index in
            let (rows, columns) = shapes[index]
            return Panel(rows: rows, columns: columns, values: Matrix(zeros: rows.count, columns.count))
        }
    }

    private static func panels(_ shapes: [Shape], in pages: SharedPages) -> [Panel] {
        zip(shapes, pages.matrices(shapes.map { ($0.rows.count, $0.columns.count) })).map { Panel(rows: $0.rows, columns: $0.columns, values: $1) }
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
    public static func byteCount(columns: Int, part: Range<Int>? = nil) -> Int { byteCount(shapes(columns, part ?? 0..<columns)) }

    /// Bytes of the same where several processes add to it.
    public static func sharedByteCount(columns: Int, part: Range<Int>? = nil) -> Int { sharedByteCount(shapes(columns, part ?? 0..<columns), of: columns) }

    /// Bytes of the sum of the blocks on the diagonal where several processes add to it.
    public static func sharedByteCount(diagonalOf columns: Int) -> Int { sharedByteCount(shapes(diagonalOf: columns), of: columns) }

    private static func byteCount(_ shapes: [Shape]) -> Int {
        SharedPages.byteCount(of: Double.self, shapes.map { ($0.rows.count, $0.columns.count) })
    }

    private static func sharedByteCount(_ shapes: [Shape], of columns: Int) -> Int {
        let all = ColumnBlocks.ranges(of: columns)
        var blocks = 0
        for shape in shapes { forEachBlock(of: shape, all) { _, _ in blocks += 1 } }
        return byteCount(shapes) + Pages.rounded(blocks * SharedLock.byteCount)
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
