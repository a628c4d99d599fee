// X^T X of one batch, and its exact sum over batches.

internal import CKernels

/// The sum of X^T X over batches, exact: adding the same batches in any order, on any ranks, gives the same bits.
///
/// Every batch's product is computed in fp32, rounded to a multiple of one power of two (the quantum), and added in fp64. The quantum is large
/// enough that all partial sums are integer multiples of it below 2^53, so no addition rounds. Only the blocks on and above the diagonal are
/// computed and kept up to date; the rest of the matrix is zero.
public final class GramSum: @unchecked Sendable {
    /// The most columns of a block of the upper triangle. A fixed number, since the shape of a product decides its bits.
    public static let blockColumns = 512
    /// Blocks on the diagonal are cut down to so many columns: half of what they compute lies below it.
    package static let diagonalColumns = 128

    /// The sum: [columns, columns], upper blocks.
    public let sum: Matrix<Double>
    private let quantum: Double
    private let product: Matrix<Float>

    /// - Parameters:
    ///   - columns: columns of X.
    ///   - tokens: rows of X over all batches of all ranks.
    ///   - maxMagnitude: the largest |x| over all batches of all ranks, finite.
    public init(columns: Int, tokens: Int, maxMagnitude: Float) {
        precondition(maxMagnitude.isFinite, "a Hessian of activations that are not finite")
        sum = Matrix(repeating: 0, columns, columns)
        quantum = Self.quantum(tokens: tokens, maxMagnitude: maxMagnitude)
        product = Matrix(uninitialized: min(Self.blockColumns, columns), min(Self.blockColumns, columns))
    }

    /// The power of two at or above n m^2 / 2^52: no entry of the sum exceeds n m^2 in exact arithmetic, and fp32's rounding cannot double it.
    static func quantum(tokens: Int, maxMagnitude: Float) -> Double {
        let bound = Double(tokens) * Double(maxMagnitude) * Double(maxMagnitude)
        guard bound > 0 else { return 1 }
        let power = (bound / 0x1p52).exponent
        let candidate = Double(sign: .plus, exponent: power, significand: 1)
        return candidate >= bound / 0x1p52 ? candidate : candidate * 2
    }

    /// Adds X^T X of one batch, x: [tokens, columns].
    public func add(_ x: Matrix<Float>) {
        addBlocks { rows, columns, result in
            multiply(x.columns(rows), x.columns(columns), transposeA: true, into: result)
        }
    }

    /// Adds X^T X of one batch, x: [tokens, columns].
    public func add(_ x: Matrix<BFloat16>) {
        addBlocks { rows, columns, result in
            multiply(x.columns(rows), x.columns(columns), transposeA: true, into: result)
        }
    }

    private func addBlocks(_ multiplyBlock: (Range<Int>, Range<Int>, Matrix<Float>) -> Void) {
        Self.forEachBlock(of: sum.columns) { rows, columns in
            let block = product.rows(0..<rows.count).columns(0..<columns.count)
            multiplyBlock(rows, columns, block)
            accumulate(block, rows, columns)
        }
    }

    /// Visits blocks that together cover the upper triangle, in an order and of sizes that follow from the number of columns alone.
    package static func forEachBlock(of size: Int, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        // Blocks of nearly equal width, in whole cache lines.
        let count = max((size + blockColumns - 1) / blockColumns, 1)
        let width = max((size + count * 32 - 1) / (count * 32) * 32, 1)
        let blocks = stride(from: 0, to: size, by: width).map { $0..<min($0 + width, size) }
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

    private func accumulate(_ block: Matrix<Float>, _ rows: Range<Int>, _ columns: Range<Int>) {
        let target = sum.rows(rows).columns(columns)
        let (quantum, inverse) = (quantum, 1 / quantum)
        parallelFor(block.rows) { row in
            cleave_add_quantized(block.row(row), target.row(row), block.columns, quantum, inverse)
        }
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
