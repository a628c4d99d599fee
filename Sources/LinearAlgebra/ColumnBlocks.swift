// How the columns of X are cut into blocks where products with X are summed: fixed by their number alone, since the shape of a product decides its bits.

/// Blocks of columns, and what of X^T X they cover.
public enum ColumnBlocks {
    /// The most columns of a block.
    public static let mostColumns = 512
    /// Bytes of a block's product, of which each thread has one.
    public static let productBytes = mostColumns * mostColumns * MemoryLayout<Float>.stride
    /// Blocks on the diagonal of X^T X are cut down to so many columns: half of what they compute lies below it.
    package static let diagonalColumns = 128

    /// The columns of X in blocks of nearly equal width, in whole cache lines.
    public static func ranges(of columns: Int) -> [Range<Int>] {
        let count = max((columns + mostColumns - 1) / mostColumns, 1)
        let width = max((columns + count * 32 - 1) / (count * 32) * 32, 1)
        return (0..<columns).cut(every: width)
    }

    /// The columns of X in parts of so many blocks.
    public static func parts(of columns: Int, blocks count: Int) -> [Range<Int>] {
        let blocks = ranges(of: columns)
        return stride(from: 0, to: blocks.count, by: count).map { blocks[$0].lowerBound..<blocks[min($0 + count, blocks.count) - 1].upperBound }
    }

    /// Visits blocks that together cover the upper triangle of X^T X.
    package static func forEach(ofTriangle columns: Int, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        let blocks = ranges(of: columns)
        for (index, rows) in blocks.enumerated() {
            forEach(onDiagonal: rows, body)
            for columns in blocks[(index + 1)...] { body(rows, columns) }
        }
    }

    /// Visits blocks that together cover what lies of one on the diagonal of X^T X in the upper triangle.
    static func forEach(onDiagonal range: Range<Int>, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        let half = (range.count / 2 + 31) / 32 * 32
        guard range.count > diagonalColumns, half < range.count else { return body(range, range) }
        let (first, second) = (range.lowerBound..<range.lowerBound + half, range.lowerBound + half..<range.upperBound)
        forEach(onDiagonal: first, body)
        body(first, second)
        forEach(onDiagonal: second, body)
    }
}
