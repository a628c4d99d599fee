// Texts one behind the other, each after its length: Parquet's plain encoding of byte arrays.

/// Byte arrays in memory.
struct ByteArrays {
    private let bytes: [UInt8]
    /// Of each array.
    private var ranges: [Range<Int>] = []

    static let none = ByteArrays([], from: 0, count: 0)!

    /// - Parameter count: arrays that there are.
    /// - Returns: nil where the bytes end too early.
    init?(_ bytes: [UInt8], from start: Int, count: Int) {
        self.bytes = bytes
        // Each has four bytes at least.
        guard count <= (bytes.count - start) / 4 else { return nil }
        ranges.reserveCapacity(count)
        var offset = start
        for _ in 0..<count {
            guard offset + 4 <= bytes.count else { return nil }
            let length = (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << ($1 * 8) }
            guard length <= bytes.count - offset - 4 else { return nil }
            ranges.append(offset + 4..<offset + 4 + length)
            offset += 4 + length
        }
    }

    var count: Int { ranges.count }

    subscript(index: Int) -> [UInt8] { Array(bytes[ranges[index]]) }
}
