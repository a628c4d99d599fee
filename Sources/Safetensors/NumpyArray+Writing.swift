// Writes token ids as .npy files of int32.

extension NumpyArray {
    /// Writes a one-dimensional array, version 1.0 of the format (`numpy/lib/format.py`), little-endian.
    @discardableResult
    public static func write(_ values: [Int32], to path: String) throws(SafetensorsError) -> WrittenFile {
        let description = "{'descr': '<i4', 'fortran_order': False, 'shape': (\(values.count),), }"
        // Magic, version, length and header together take a multiple of 64 bytes; the header ends with a newline.
        let prefix = 10
        let padding = 63 - (prefix + description.utf8.count) % 64
        let header = Array(description.utf8) + [UInt8](repeating: UInt8(ascii: " "), count: padding) + [UInt8(ascii: "\n")]
        let length = UInt16(header.count)
        let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
        return try AtomicFile.write(start + header + values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }, to: path)
    }
}
