// How X^T X is cut into blocks: fixed by the number of columns alone, since the shape of a product decides its bits.

extension GramSum {
    /// The most columns of a block of the upper triangle.
    public static let blockColumns = 512
    /// Bytes of a block's product, of which each thread has one.
    public static let blockBytes = blockColumns * blockColumns * MemoryLayout<Float>.stride
    /// Blocks on the diagonal are cut down to so many columns: half of what they compute lies below it.
    package static let diagonalColumns = 128

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

    static func forEachBlock(onDiagonal range: Range<Int>, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
        let half = (range.count / 2 + 31) / 32 * 32
        guard range.count > diagonalColumns, half < range.count else { return body(range, range) }
        let (first, second) = (range.lowerBound..<range.lowerBound + half, range.lowerBound + half..<range.upperBound)
        forEachBlock(onDiagonal: first, body)
        body(first, second)
        forEachBlock(onDiagonal: second, body)
    }
}
