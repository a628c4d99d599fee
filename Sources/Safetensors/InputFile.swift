// Small files read whole, and never waited for.

/// Reads files that fit memory.
public enum InputFile {
    private static let byteOrderMarks: [(bytes: [UInt8], encoding: String)] = [
        (utf8Mark, "UTF-8"), ([0xff, 0xfe], "UTF-16"), ([0xfe, 0xff], "UTF-16"),
    ]

    /// What some editors write at the start of a text.
    public static let utf8Mark: [UInt8] = [0xef, 0xbb, 0xbf]

    /// The bytes of a regular file.
    /// - Throws: `.missing`, `.notPermitted`, `.notReadable`; `.malformed` for a directory, a pipe, a device
    public static func bytes(of path: String) throws(SafetensorsError) -> [UInt8] {
        let file = try DataFile(path: path, access: .pread)
        return try file.bytes(at: 0, count: file.byteCount)
    }

    /// The bytes of a file of which JSON is expected.
    /// - Throws: as `bytes(of:)`; `.malformed` for a byte order mark, a pointer of Git LFS, an archive, a web page
    public static func json(of path: String) throws(SafetensorsError) -> [UInt8] {
        let bytes = try bytes(of: path)
        if let found = ForeignContent.description(Array(bytes.prefix(ForeignContent.needed))) {
            throw SafetensorsError(.malformed, path: path, "\(found.text).")
        }
        if let mark = byteOrderMarks.first(where: { bytes.starts(with: $0.bytes) }) {
            throw SafetensorsError(
                .malformed, path: path, "The file begins with a byte order mark of \(mark.encoding), and JSON has none. Save it as UTF-8 without one.")
        }
        return bytes
    }

    /// The first bytes of a regular file, as many as tell what it is.
    /// - Throws: as `bytes(of:)`
    public static func start(of path: String) throws(SafetensorsError) -> [UInt8] {
        let file = try DataFile(path: path, access: .pread)
        return try file.bytes(at: 0, count: min(file.byteCount, ForeignContent.needed))
    }

    /// Some bytes of a regular file, as far as it has them.
    /// - Throws: as `bytes(of:)`
    public static func bytes(of path: String, _ range: Range<Int>) throws(SafetensorsError) -> [UInt8] {
        let file = try DataFile(path: path, access: .pread), range = range.clamped(to: 0..<file.byteCount)
        return try file.bytes(at: range.lowerBound, count: range.count)
    }
}
