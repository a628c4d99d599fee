// One safetensors file, open for reading: header validated, data by mapping or positioned reads.

/// A safetensors file that follows every rule of the format.
///
/// Data is little-endian and row-major. Nothing promises alignment: headers of foreign writers may have any length, so
/// load elements unaligned or copy them.
public final class SafetensorsFile: Sendable {
    public let path: String
    /// The file's `__metadata__`; empty if it has none.
    public let metadata: [String: String]
    /// By name.
    public let tensors: [String: TensorEntry]
    /// In the order of the data.
    public let entries: [TensorEntry]
    private let file: DataFile

    /// Opens a file and checks its header; see `SafetensorsHeader` for the rules.
    /// - Throws: `.missing`, `.notReadable`, or `.malformed` with the rule that is broken and where.
    public init(path: String, access: Access = .mapped) throws(SafetensorsError) {
        let file = try DataFile(path: path, access: access)
        let header = try Self.readHeader(of: file)
        self.path = path
        self.file = file
        self.metadata = header.metadata
        self.entries = header.entries
        self.tensors = Dictionary(uniqueKeysWithValues: header.entries.map { ($0.name, $0) })
    }

    public var byteCount: Int { file.byteCount }
    /// Size and times when it was opened.
    public var stamp: FileStamp { file.stamp }

    /// Copies a tensor's bytes, or some of them, into `buffer`.
    /// - Parameters:
    ///   - range: bytes inside the tensor, such as those of a few rows; all if nil
    ///   - buffer: exactly as long as the range
    /// - Throws: `.unknownTensor`, `.invalidRequest`, `.notReadable`
    public func read(
        _ name: String, bytes range: Range<Int>? = nil, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        let entry = try entry(name)
        try file.read(entry.description, at: entry.bytes, inside: range, into: buffer)
    }

    /// Calls `body` with a tensor's bytes, or some of them: without a copy if mapped, from a buffer that lives for the
    /// call otherwise.
    /// - Throws: as `read`, and what `body` throws
    public func withBytes<R>(
        of name: String, bytes range: Range<Int>? = nil, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let entry = try entry(name)
        let range = try entry.description.checkedRange(range, path: path)
        return try file.withBytes(
            entry.bytes.lowerBound + range.lowerBound..<entry.bytes.lowerBound + range.upperBound, body)
    }

    private func entry(_ name: String) throws(SafetensorsError) -> TensorEntry {
        guard let entry = tensors[name] else {
            throw SafetensorsError(.unknownTensor, path: path, "The file has no tensor \"\(name)\".")
        }
        return entry
    }

    private static func readHeader(of file: DataFile) throws(SafetensorsError) -> SafetensorsHeader {
        let foreign = try ForeignContent.description(file.bytes(at: 0, count: min(file.byteCount, ForeignContent.needed)))
        // No file of this format begins with text: four of its first eight bytes are zero. A header may have the length that gzip's mark stands for.
        if let foreign, foreign.kind != .packed { throw SafetensorsHeader.malformed(file.path, "\(foreign.text).") }
        guard file.byteCount >= 8 else {
            throw SafetensorsHeader.malformed(
                file.path,
                "The file has \(file.byteCount) bytes; a safetensors file begins with 8 for the header's length. Fetch it again.")
        }
        let length = try file.bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= SafetensorsHeader.maximumByteCount else {
            throw SafetensorsHeader.malformed(
                file.path,
                foreign.map { "\($0.text)." }
                    ?? "The header's length is given as \(length); it may be \(SafetensorsHeader.maximumByteCount) at most.")
        }
        guard Int(length) <= file.byteCount - 8 else {
            throw SafetensorsHeader.malformed(
                file.path,
                "The header's length is given as \(length), but only \(file.byteCount - 8) bytes follow: truncated?"
            )
        }
        let json = try file.bytes(at: 8, count: Int(length))
        return try SafetensorsHeader(json: json, fileSize: file.byteCount, path: file.path)
    }
}

extension DataFile {
    /// Copies the part `range` of a tensor that lies at `bytes` into a buffer of just that size.
    func read(
        _ tensor: TensorDescription, at bytes: Range<Int>, inside range: Range<Int>?,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        let range = try tensor.checkedRange(range, path: path)
        guard buffer.count == range.count else {
            throw SafetensorsError(
                .invalidRequest, path: path,
                "\(range.count) bytes of tensor \"\(tensor.name)\" do not fit a buffer of \(buffer.count) exactly.")
        }
        try read(at: bytes.lowerBound + range.lowerBound, into: buffer)
    }
}
