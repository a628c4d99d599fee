// X^T X of one batch, and its exact sum over batches.

internal import CKernels

/// The sum of X^T X over batches, exact: adding the same batches in any order, on any ranks, gives the same bits.
///
/// Every batch's product is computed in fp32, rounded to a multiple of one power of two (the quantum), and added in fp64. The quantum is large
/// enough that all partial sums are integer multiples of it below 2^53, so no addition rounds. Only the blocks on and above the diagonal are
/// computed and kept up to date; the rest of the matrix is zero. The sum may be of some columns only: its blocks have the same bits.
public final class GramSum: @unchecked Sendable {
    /// The most columns of a block of the upper triangle. A fixed number, since the shape of a product decides its bits.
    public static let blockColumns = 512
    /// Bytes of a block's product, of which each thread has one.
    public static let blockBytes = blockColumns * blockColumns * MemoryLayout<Float>.stride
    /// Blocks on the diagonal are cut down to so many columns: half of what they compute lies below it.
    package static let diagonalColumns = 128

    /// The columns of X^T X that are here.
    public let part: Range<Int>
    /// The sum: [part.upperBound, part.count], upper blocks; of the diagonal blocks alone [block, columns], side by side.
    public let sum: Matrix<Double>
    private let blocks: [Block]
    private let quantum: Double

    /// Rows and columns of X^T X, and where they are summed.
    private struct Block {
        var rows: Range<Int>
        var columns: Range<Int>
        var target: Matrix<Double>

        var elements: Int { rows.count * columns.count }
    }

    /// - Parameters:
    ///   - columns: columns of X.
    ///   - part: whole ranges of `blocks(of: columns)`; nil: all.
    ///   - tokens: rows of X over all batches of all ranks.
    ///   - maxMagnitude: the largest |x| over all batches of all ranks, finite.
    ///   - diagonal: a sum of the blocks on the diagonal over the same batches; they are then copied from it and not added again.
    ///   - share: of several sums that see the same batches, this one takes some blocks; the others stay zero.
    public init(
        columns: Int, part: Range<Int>? = nil, tokens: Int, maxMagnitude: Float, diagonal: GramSum? = nil, share: (index: Int, count: Int) = (0, 1)
    ) {
        let part = part ?? 0..<columns
        let ranges = Self.blocks(of: columns)
        precondition(
            part.isEmpty || ranges.contains { $0.lowerBound == part.lowerBound } && ranges.contains { $0.upperBound == part.upperBound }, "part \(part)")
        let sum = Matrix<Double>(zerosForUpperBlocks: columns, columns: part)
        var blocks: [Block] = []
        func add(_ rows: Range<Int>, _ columns: Range<Int>) {
            let target = sum.rows(rows).columns(columns.lowerBound - part.lowerBound..<columns.upperBound - part.lowerBound)
            blocks.append(Block(rows: rows, columns: columns, target: target))
        }
        for columns in ranges where part.contains(columns.lowerBound) {
            for rows in ranges where rows.upperBound <= columns.lowerBound { add(rows, columns) }
            if let diagonal {
                let target = columns.lowerBound - part.lowerBound..<columns.upperBound - part.lowerBound
                sum.rows(columns).columns(target).assign(diagonal.sum.rows(0..<columns.count).columns(columns))
            } else {
                Self.forEachBlock(onDiagonal: columns, add)
            }
        }
        (self.part, self.sum, self.blocks) = (part, sum, Self.share(blocks, share))
        quantum = Self.quantum(tokens: tokens, maxMagnitude: maxMagnitude)
    }

    /// The sum of the blocks on the diagonal alone.
    public init(diagonalOf columns: Int, tokens: Int, maxMagnitude: Float, share: (index: Int, count: Int) = (0, 1)) {
        let ranges = Self.blocks(of: columns)
        let sum = Matrix<Double>(zeros: ranges.map(\.count).max() ?? 0, columns)
        var blocks: [Block] = []
        for range in ranges {
            Self.forEachBlock(onDiagonal: range) { rows, columns in
                let target = sum.rows(rows.lowerBound - range.lowerBound..<rows.upperBound - range.lowerBound).columns(columns)
                blocks.append(Block(rows: rows, columns: columns, target: target))
            }
        }
        (part, self.sum, self.blocks) = (0..<columns, sum, Self.share(blocks, share))
        quantum = Self.quantum(tokens: tokens, maxMagnitude: maxMagnitude)
    }

    /// Blocks in shares of about the same work: the largest first, each to the share that has the least so far.
    private static func share(_ blocks: [Block], _ share: (index: Int, count: Int)) -> [Block] {
        guard share.count > 1 else { return blocks }
        var work = [Int](repeating: 0, count: share.count)
        return blocks.indices.sorted { (blocks[$1].elements, $0) < (blocks[$0].elements, $1) }.compactMap { index in
            guard let least = work.indices.min(by: { (work[$0], $0) < (work[$1], $1) }) else { return nil }
            work[least] += blocks[index].elements
            return least == share.index ? blocks[index] : nil
        }
    }

    /// The columns of X^T X in blocks of nearly equal width, in whole cache lines; they follow from the number of columns alone.
    public static func blocks(of columns: Int) -> [Range<Int>] {
        let count = max((columns + blockColumns - 1) / blockColumns, 1)
        let width = max((columns + count * 32 - 1) / (count * 32) * 32, 1)
        return stride(from: 0, to: columns, by: width).map { $0..<min($0 + width, columns) }
    }

    /// The columns of X^T X in parts of so many blocks.
    public static func parts(of columns: Int, blocks count: Int) -> [Range<Int>] {
        let blocks = blocks(of: columns)
        return stride(from: 0, to: blocks.count, by: count).map { blocks[$0].lowerBound..<blocks[min($0 + count, blocks.count) - 1].upperBound }
    }

    /// Visits blocks that together cover the upper triangle, in an order and of sizes that follow from the number of columns alone.
    package static func forEachBlock(of size: Int, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        let blocks = blocks(of: size)
        for (index, rows) in blocks.enumerated() {
            forEachBlock(onDiagonal: rows, body)
            for columns in blocks[(index + 1)...] { body(rows, columns) }
        }
    }

    private static func forEachBlock(onDiagonal range: Range<Int>, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        let half = (range.count / 2 + 31) / 32 * 32
        guard range.count > diagonalColumns, half < range.count else { return body(range, range) }
        let (first, second) = (range.lowerBound..<range.lowerBound + half, range.lowerBound + half..<range.upperBound)
        forEachBlock(onDiagonal: first, body)
        body(first, second)
        forEachBlock(onDiagonal: second, body)
    }

    /// The power of two at or above n m^2 / 2^52: no entry of the sum exceeds n m^2 in exact arithmetic, and fp32's rounding cannot double it.
    static func quantum(tokens: Int, maxMagnitude: Float) -> Double {
        precondition(maxMagnitude.isFinite, "a Hessian of activations that are not finite")
        let bound = Double(tokens) * Double(maxMagnitude) * Double(maxMagnitude)
        guard bound > 0 else { return 1 }
        let power = (bound / 0x1p52).exponent
        let candidate = Double(sign: .plus, exponent: power, significand: 1)
        return candidate >= bound / 0x1p52 ? candidate : candidate * 2
    }

    /// The diagonal of X^T X: of the part's columns.
    public func diagonal() -> [Double] {
        // Blocks on the diagonal alone lie side by side; elsewhere rows have the numbers of X^T X.
        guard sum.rows != part.upperBound else { return part.map { sum[$0, $0 - part.lowerBound] } }
        return Self.blocks(of: part.upperBound).flatMap { block in block.map { sum[$0 - block.lowerBound, $0] } }
    }

    /// Adds X^T X of one batch, x: [tokens, columns].
    public func add(_ x: Matrix<Float>) {
        add { multiply(x.columns($0), x.columns($1), transposeA: true, into: $2) }
    }

    /// Adds X^T X of one batch, x: [tokens, columns].
    ///
    /// Where there are many blocks, both operands are brought once into the order in which the products' code reads them, and not for each block anew.
    public func add(_ x: Matrix<BFloat16>) {
        guard Self.packs(columns: x.columns), x.rows > 0 else { return add { multiply(x.columns($0), x.columns($1), transposeA: true, into: $2) } }
        let left = Matrix<BFloat16>(uninitialized: part.upperBound, x.rows)
        parallelFor(left.rows, inUnitsOf: Self.diagonalColumns) { transpose(x.columns($0), into: left.rows($0)) }
        let ranges = Self.blocks(of: x.columns).filter { range in blocks.contains { $0.columns == range } }
        let packed = parallelMap(ranges.count) { PackedMatrix(transposing: x.columns(ranges[$0])) }
        let right = Dictionary(uniqueKeysWithValues: zip(ranges, packed))
        add { rows, columns, block in
            if let packed = right[columns] {
                multiply(left.rows(rows), transposed: packed, into: block)
            } else {
                multiply(left.rows(rows), x.columns(columns), into: block)
            }
        }
    }

    /// Whether operands in bf16 are packed; it decides bits, so it follows from the number of columns alone. For fewer blocks it takes longer than it saves.
    private static func packs(columns: Int) -> Bool { blocks(of: columns).count > 3 }

    /// Bytes beside a batch in bf16 while its product is made.
    /// - Parameter part: the columns that are summed at a time, of `columns`.
    public static func operandBytes(columns: Int, part: Int, tokens: Int) -> Int {
        packs(columns: columns) ? (columns + part) * tokens * MemoryLayout<BFloat16>.stride : 0
    }

    /// - Parameter multiply: makes the block of X^T X of some rows and columns.
    private func add(_ multiply: @Sendable (_ rows: Range<Int>, _ columns: Range<Int>, _ block: Matrix<Float>) -> Void) {
        parallelFor(blocks.count) { index in
            let block = blocks[index]
            ScratchPool.withScratch(byteCount: Self.blockBytes) { memory in
                let product = Matrix<Float>(in: memory, block.rows.count, block.columns.count)
                multiply(block.rows, block.columns, product)
                accumulate(product, block.target)
            }
        }
    }

    /// Multiplications and additions that adding one batch cannot avoid: those of elements on and above the diagonal.
    public func operations(tokens: Int) -> Double {
        blocks.reduce(0) { sum, block in
            let elements = Double(block.rows.count) * Double(block.columns.count)
            return sum + Double(tokens) * elements * (block.rows == block.columns ? 1 : 2)
        }
    }

    private func accumulate(_ block: Matrix<Float>, _ target: Matrix<Double>) {
        let (quantum, inverse) = (quantum, 1 / quantum)
        for row in 0..<block.rows { cleave_add_quantized(block.row(row), target.row(row), block.columns, quantum, inverse) }
    }
}

/// The largest |x|; infinity when any element is infinite or NaN.
public func maxMagnitude(_ x: Matrix<Float>) -> Float {
    precondition(x.isContiguous, "magnitudes of a window with gaps")
    return cleave_max_magnitude_f32(x.base, x.count)
}

/// The largest |x|; infinity when any element is infinite or NaN.
public func maxMagnitude(_ x: Matrix<BFloat16>) -> Float {
    precondition(x.isContiguous, "magnitudes of a window with gaps")
    return x.base.withMemoryRebound(to: UInt16.self, capacity: x.count) { cleave_max_magnitude_bf16($0, x.count) }
}
