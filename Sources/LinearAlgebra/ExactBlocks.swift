// Blocks of a sum of products A^T B over batches, exact whatever the order of the batches.

internal import CKernels

/// Some blocks of A^T B, a: [tokens, rows of the sum], b: [tokens, columns of the sum], each with the place where it is summed.
///
/// Every batch's product is computed in fp32, rounded to a multiple of one power of two (the quantum), and added in fp64. The quantum is large
/// enough that all partial sums are integer multiples of it below 2^53, so no addition rounds.
struct ExactBlocks: Sendable {
    /// Rows and columns of the sum, and where they are summed.
    struct Block: Sendable {
        var rows: Range<Int>
        var columns: Range<Int>
        var target: Matrix<Double>
        /// Where other processes add to it, too.
        var lock: SharedLock?

        var elements: Int { rows.count * columns.count }
    }

    let blocks: [Block]
    private let quantum: Double
    /// The block with which a batch begins: processes that add to the same blocks begin with different ones.
    private let first: Int

    /// - Parameters:
    ///   - share: of several sums that see the same batches, this one takes some of the blocks.
    ///   - tokens: rows of A and B over all batches of all ranks.
    ///   - maxMagnitudes: the largest |a| and the largest |b| over all batches of all ranks, finite.
    ///   - place: this process among those that add to the same blocks.
    init(
        _ blocks: [Block], share: (index: Int, count: Int), tokens: Int, maxMagnitudes: (Float, Float), place: (index: Int, count: Int) = (0, 1)
    ) {
        self.blocks = Self.share(blocks, share)
        first = self.blocks.count * place.index / place.count
        quantum = Self.quantum(tokens: tokens, maxMagnitudes: maxMagnitudes)
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

    /// The power of two at or above n |a| |b| / 2^52: no entry of the sum exceeds n |a| |b| in exact arithmetic, and fp32's rounding cannot double it.
    static func quantum(tokens: Int, maxMagnitudes: (Float, Float)) -> Double {
        precondition(maxMagnitudes.0.isFinite && maxMagnitudes.1.isFinite, "a sum of products of activations that are not finite")
        let bound = Double(tokens) * Double(maxMagnitudes.0) * Double(maxMagnitudes.1)
        guard bound > 0 else { return 1 }
        let power = (bound / 0x1p52).exponent
        let candidate = Double(sign: .plus, exponent: power, significand: 1)
        return candidate >= bound / 0x1p52 ? candidate : candidate * 2
    }

    /// Adds the blocks of A^T B of one batch.
    func add(_ a: Matrix<Float>, _ b: Matrix<Float>) {
        add { multiply(a.columns($0), b.columns($1), transposeA: true, into: $2) }
    }

    /// Adds the blocks of A^T B of one batch.
    ///
    /// Where there are many blocks, both operands are brought once into the order in which the products' code reads them, and not for each block anew.
    /// - Parameter rows: columns of `a` that hold the rows of all blocks.
    func add(_ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, rows all: Range<Int>) {
        guard Self.packs(columns: b.columns), b.rows > 0 else { return add { multiply(a.columns($0), b.columns($1), transposeA: true, into: $2) } }
        let left = Matrix<BFloat16>(uninitialized: all.count, a.rows), from = a.columns(all)
        parallelFor(left.rows, inUnitsOf: ColumnBlocks.diagonalColumns) { transpose(from.columns($0), into: left.rows($0)) }
        let ranges = ColumnBlocks.ranges(of: b.columns).filter { range in blocks.contains { $0.columns == range } }
        let packed = parallelMap(ranges.count) { PackedMatrix(transposing: b.columns(ranges[$0])) }
        let right = Dictionary(uniqueKeysWithValues: zip(ranges, packed))
        add { rows, columns, block in
            let own = left.rows(rows.lowerBound - all.lowerBound..<rows.upperBound - all.lowerBound)
            if let packed = right[columns] {
                multiply(own, transposed: packed, into: block)
            } else {
                multiply(own, b.columns(columns), into: block)
            }
        }
    }

    /// Whether operands in bf16 are packed; it decides bits, so it follows from the number of columns alone. For fewer blocks it takes longer than it saves.
    static func packs(columns: Int) -> Bool { ColumnBlocks.ranges(of: columns).count > 3 }

    /// - Parameter multiply: makes the block of A^T B of some rows and columns.
    private func add(_ multiply: @Sendable (_ rows: Range<Int>, _ columns: Range<Int>, _ block: Matrix<Float>) -> Void) {
        parallelFor(blocks.count) { index in
            let block = blocks[(first + index) % blocks.count]
            ScratchPool.withScratch(byteCount: ColumnBlocks.productBytes) { memory in
                let product = Matrix<Float>(in: memory, block.rows.count, block.columns.count)
                multiply(block.rows, block.columns, product)
                if let lock = block.lock { lock.withLock { accumulate(product, block.target) } } else { accumulate(product, block.target) }
            }
        }
    }

    private func accumulate(_ block: Matrix<Float>, _ target: Matrix<Double>) {
        let (quantum, inverse) = (quantum, 1 / quantum)
        for row in 0..<block.rows { cleave_add_quantized(block.row(row), target.row(row), block.columns, quantum, inverse) }
    }
}
