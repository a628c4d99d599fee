// Writes token ids as .npy files of int32.

extension NumpyArray {
    /// Writes a one-dimensional array, version 1.0 of the format (`numpy/lib/format.py`), little-endian.
    ///
    /// - Parameters:
    ///   - count: of all values.
    ///   - part: some of them; asked for in order, no more than a MiB at a time.
    /// - Throws: as `AtomicFileWriter`; what `part` throws.
    @discardableResult
    public static func write(count: Int, to path: String, _ part: (Range<Int>) throws -> [Int32]) throws -> WrittenFile {
        let description = "{'descr': '<i4', 'fortran_order': False, 'shape': (\(count),), }"
        // Magic, version, length and header together take a multiple of 64 bytes; the header ends with a newline.
        let prefix = 10
        let padding = 63 - (prefix + description.utf8.count) % 64
        let header = Array(description.utf8) + [UInt8](repeating: UInt8(ascii: " "), count: padding) + [UInt8(ascii: "\n")]
        let length = UInt16(header.count)
        let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
        let writer = try AtomicFileWriter(path: path, expectedByteCount: start.count + header.count + 4 * count)
        try (start + header).withUnsafeBytes { try writer.append($0) }
        let most = 1 << 18
        for first in stride(from: 0, to: count, by: most) {
            let values = try part(first..<min(first + most, count))
            try values.map(\.littleEndian).withUnsafeBytes { try writer.append($0) }
        }
        return try writer.finish()
    }
}
