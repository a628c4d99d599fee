// Small integers in runs and in bits: how Parquet writes levels and places in a dictionary.

/// Decodes the hybrid of run lengths and packed bits.
///
/// Source: apache/parquet-format, `Encodings.md`, "Run Length Encoding / Bit-Packing Hybrid".
///
/// - Parameters:
///   - bytes: the runs, one behind the other.
///   - width: bits of an integer.
///   - count: integers that are wanted.
/// - Returns: nil where the bytes end too early.
func hybridIntegers(_ bytes: ArraySlice<UInt8>, width: Int, count: Int) -> [UInt32]? {
    guard (0...32).contains(width) else { return nil }
    var values: [UInt32] = []
    values.reserveCapacity(count)
    var rest = bytes
    while values.count < count {
        guard let head = variable(&rest) else { return nil }
        let length = Int(head >> 1)
        if head & 1 == 0 {
            let size = (width + 7) / 8
            guard rest.count >= size, length > 0 else { return nil }
            let value = rest.prefix(size).enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element) << UInt32($1.offset * 8) }
            rest = rest.dropFirst(size)
            values.append(contentsOf: repeatElement(value, count: min(length, count - values.count)))
        } else {
            // Groups of eight integers, each group `width` bytes; the last may go on beyond what is wanted.
            guard length > 0, length <= bytes.count * 8, rest.count >= min(length * width, (min(length * 8, count - values.count) * width + 7) / 8) else {
                return nil
            }
            let packed = rest.prefix(length * width)
            unpack(packed, width: width, count: min(length * 8, count - values.count), into: &values)
            rest = rest.dropFirst(packed.count)
        }
    }
    return values
}

/// The lowest bits of a byte come first.
private func unpack(_ bytes: ArraySlice<UInt8>, width: Int, count: Int, into values: inout [UInt32]) {
    guard width > 0 else { return values.append(contentsOf: repeatElement(0, count: count)) }
    var (pool, bits, position) = (UInt64(0), 0, bytes.startIndex)
    let mask = UInt64(1) << UInt64(width) - 1
    for _ in 0..<count {
        while bits < width {
            pool |= UInt64(bytes[position]) << UInt64(bits)
            position += 1
            bits += 8
        }
        values.append(UInt32(pool & mask))
        pool >>= UInt64(width)
        bits -= width
    }
}

/// An unsigned number of 32 bits, seven bits a byte.
private func variable(_ bytes: inout ArraySlice<UInt8>) -> UInt32? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 35, by: 7) {
        guard let byte = bytes.popFirst() else { return nil }
        value |= UInt64(byte & 127) << shift
        if byte < 128 { return UInt32(exactly: value) }
    }
    return nil
}
