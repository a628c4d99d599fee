// Reads token ids from .npy files, some at a time: one-dimensional int32 or int64 arrays.

/// A one-dimensional array of integers in a `.npy` file, version 1.0 or 2.0 (`numpy/lib/format.py`), little-endian. Its values stay on disk.
public struct NumpyArray: Sendable {
    /// `.i32` or `.i64`, as in the file.
    public let elementType: ElementType
    public let count: Int
    private let file: DataFile
    /// Bytes before the first value.
    private let dataStart: Int

    /// - Throws: `.missing`, `.notReadable`; `.malformed` for other versions, types, byte orders and shapes, and for
    ///   truncated or trailing bytes
    public init(path: String) throws(SafetensorsError) {
        let file = try DataFile(path: path, access: .pread)
        let text = try Self.headerText(of: file)
        let header: NumpyHeader
        do {
            header = try NumpyHeader(text.header)
        } catch {
            throw SafetensorsError(.malformed, path: path, error.reason)
        }
        let width = header.elementType.bits / 8
        let dataSize = file.byteCount - text.dataStart
        guard dataSize.isMultiple(of: width), dataSize / width == header.length else {
            throw SafetensorsError(
                .malformed, path: path,
                "The header announces \(header.length) elements of \(width) bytes, but \(dataSize) bytes follow it.")
        }
        (elementType, count) = (header.elementType, header.length)
        (self.file, dataStart) = (file, text.dataStart)
    }

    /// Some of the values.
    /// - Throws: `.notReadable`
    public func values(_ range: Range<Int>) throws(SafetensorsError) -> [Int64] {
        let width = elementType.bits / 8
        return try file.bytes(at: dataStart + width * range.lowerBound, count: width * range.count).withUnsafeBytes { elementType.integers($0) }
    }

    private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// Real headers of such arrays have 118 bytes.
    private static let maximumHeaderSize = 1 << 16

    private static func headerText(of file: DataFile) throws(SafetensorsError) -> (header: [UInt8], dataStart: Int) {
        let start = try file.bytes(at: 0, count: min(12, file.byteCount))
        guard start.starts(with: magic), start.count >= 10 else {
            throw SafetensorsError(
                .malformed, path: file.path, "This is not a .npy file: it does not start with \\x93NUMPY.")
        }
        let lengthSize: Int
        switch start[6] {
        case 1: lengthSize = 2
        case 2: lengthSize = 4
        case let version:
            throw SafetensorsError(
                .malformed, path: file.path, "The .npy version is \(version).\(start[7]); 1.0 and 2.0 can be read.")
        }
        let headerSize = start[8...].prefix(lengthSize).reversed().reduce(0) { $0 << 8 | Int($1) }
        let dataStart = 8 + lengthSize + headerSize
        guard headerSize <= maximumHeaderSize, dataStart <= file.byteCount else {
            throw SafetensorsError(
                .malformed, path: file.path,
                "The .npy header's length is given as \(headerSize) bytes in a file of \(file.byteCount).")
        }
        return (try file.bytes(at: 8 + lengthSize, count: headerSize), dataStart)
    }
}
