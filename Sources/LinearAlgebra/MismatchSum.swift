// D^T X of one batch, and its exact sum over batches.

/// The sum of D^T X over batches, d: [tokens, rows], x: [tokens, columns]: how a difference of two models goes with an input of one of them. Exact, as
/// `GramSum` is.
///
/// The rows lie in panels of `choleskyTileSize`, so that a panel can have the owner that a factor's panel has. The sum may be of some panels only: they have
/// the same bits.
public final class MismatchSum: @unchecked Sendable {
    /// The rows of D^T X that are here: whole panels.
    public let part: Range<Int>
    /// By panel of `part`: its rows, and their sums, [rows.count, columns].
    public let panels: [(rows: Range<Int>, values: Matrix<Double>)]
    /// Of each row of `part`, the sum of d^2 of its column; zeros in other shares than the first.
    public private(set) var squares: [Double]
    private let blocks: ExactBlocks
    /// nil in other shares than the first.
    private let quantumOfSquares: Double?

    /// - Parameters:
    ///   - rows: columns of D.
    ///   - columns: columns of X.
    ///   - part: whole ranges of `choleskyPanels(order: rows)`; nil: all.
    ///   - tokens: rows of D and X over all batches of all ranks.
    ///   - maxMagnitudes: the largest |d| and the largest |x| over all batches of all ranks, finite.
    ///   - share: of several sums that see the same batches, this one takes some blocks; the others stay zero.
    public init(
        rows: Int, columns: Int, part: Range<Int>? = nil, tokens: Int, maxMagnitudes: (d: Float, x: Float), share: (index: Int, count: Int) = (0, 1)
    ) {
        let part = part ?? 0..<rows
        let ranges = choleskyPanels(order: rows).filter { part.contains($0.lowerBound) }
        precondition(part.isEmpty || ranges.first?.lowerBound == part.lowerBound && ranges.last?.upperBound == part.upperBound, "part \(part)")
        panels = parallelMap(ranges.count) { (ranges[$0], Matrix<Double>(zeros: ranges[$0].count, columns)) }
        self.part = part
        let blocks = panels.flatMap { panel in
            ColumnBlocks.ranges(of: columns).map { ExactBlocks.Block(rows: panel.rows, columns: $0, target: panel.values.columns($0)) }
        }
        self.blocks = ExactBlocks(blocks, share: share, tokens: tokens, maxMagnitudes: maxMagnitudes)
        squares = Array(repeating: 0, count: part.count)
        quantumOfSquares = share.index == 0 ? ExactBlocks.quantum(tokens: tokens, maxMagnitudes: (maxMagnitudes.d, maxMagnitudes.d)) : nil
    }

    /// Adds D^T X of one batch.
    public func add(d: Matrix<Float>, x: Matrix<Float>) {
        blocks.add(d, x)
        add(squaresOf: d.columns(part))
    }

    /// Adds D^T X of one batch.
    public func add(d: Matrix<BFloat16>, x: Matrix<BFloat16>) {
        blocks.add(d, x, rows: part)
        guard quantumOfSquares != nil else { return }
        let widened = Matrix<Float>(uninitialized: d.rows, part.count)
        convert(d.columns(part), into: widened)
        add(squaresOf: widened)
    }

    /// - Parameter d: the columns of `part`.
    private func add(squaresOf d: Matrix<Float>) {
        guard let quantum = quantumOfSquares else { return }
        let parts = (0..<d.columns).cut(every: Self.squaresAtOnce)
        let sums = parallelMap(parts.count) { index in
            var sums = [Double](repeating: 0, count: parts[index].count)
            for token in 0..<d.rows {
                let values = d.row(token) + parts[index].lowerBound
                for column in sums.indices { sums[column] += Double(values[column]) * Double(values[column]) }
            }
            return sums
        }
        for (column, sum) in sums.joined().enumerated() { squares[column] += (sum / quantum).rounded(.toNearestOrEven) * quantum }
    }

    private static let squaresAtOnce = 64

    /// Multiplications and additions of adding one batch.
    public func operations(tokens: Int) -> Double { blocks.blocks.reduce(0) { $0 + 2 * Double(tokens) * Double($1.elements) } }
}
