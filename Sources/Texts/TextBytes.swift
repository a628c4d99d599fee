// The bytes of a text file: as they are, or decompressed while they are read.

internal import Decompression
internal import Failures
internal import Safetensors

/// A file of text.
struct TextBytes {
    let path: String
    /// nil for a file that is not compressed.
    let form: CompressedForm?

    /// - Throws: for what is no regular file; for one that is named as if it were compressed, and is not.
    init(path: String) throws {
        self.path = path
        form = CompressedForm(start: try InputFile.start(of: path))
        if form == nil, let named = CompressedForm(fileExtension: fileExtension(path)) {
            throw PipelineError(
                .badInput,
                "\(path) is named .\(fileExtension(path)), and its content is not compressed by \(named); rename it if it is plain text, "
                    + "or fetch it again")
        }
    }

    /// What the file is named, in lower case and without the dot, below a name such as .gz.
    var contentExtension: String { fileExtension(form == nil ? path : String(path.dropLast(fileExtension(path).count + 1))) }

    func open() throws -> any ByteSource {
        guard let form else { return try FileBytes(path: path) }
        return try DecompressedBytes(path: path, form: form)
    }

    func lines() throws -> LineReader { LineReader(try open(), path: path) }

    /// The first bytes, as many as tell what the text is.
    func start() throws -> [UInt8] { try bytes(atMost: ForeignContent.needed) }

    /// All of it, without a byte order mark.
    /// - Throws: for more than one text may be.
    func whole() throws -> [UInt8] {
        let bytes = try bytes(atMost: TextLimits.largest + 1)
        guard bytes.count <= TextLimits.largest else { throw TextLimits.error(path, "one text, which is read at once,") }
        return bytes.starts(with: InputFile.utf8Mark) ? Array(bytes.dropFirst(InputFile.utf8Mark.count)) : bytes
    }

    private func bytes(atMost count: Int) throws -> [UInt8] {
        let source = try open()
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: min(count, 1 << 20), alignment: 64)
        defer { piece.deallocate() }
        var bytes: [UInt8] = []
        while bytes.count < count {
            let read = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: piece[..<min(piece.count, count - bytes.count)]))
            guard read > 0 else { break }
            bytes.append(contentsOf: piece[..<read])
        }
        return bytes
    }
}

/// In lower case, without the dot; empty for a name without one.
func fileExtension(_ path: String) -> String {
    let name = path.split(separator: "/").last ?? ""
    return name.lastIndex(of: ".").map { name[name.index(after: $0)...].lowercased() } ?? ""
}
