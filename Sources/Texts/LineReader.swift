// Lines of a text that is read from its beginning to its end.

internal import Decompression
internal import Glibc
internal import Safetensors

/// Reads lines. It holds one line, and a piece of what follows.
final class LineReader {
    private let source: any ByteSource
    private let path: String
    private let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    /// What of the piece is still to be handed out.
    private var pending = 0..<0
    private var isFirst = true

    /// - Parameter path: for messages.
    init(_ source: any ByteSource, path: String) {
        self.source = source
        self.path = path
    }

    deinit {
        piece.deallocate()
    }

    /// The next line, without its end, and the first one without a byte order mark; nil behind the last.
    /// - Throws: as the source; `PipelineError` for a line longer than a text may be.
    func next() throws -> [UInt8]? {
        var line: [UInt8] = []
        while true {
            if pending.isEmpty {
                pending = 0..<(try source.read(into: piece))
                guard !pending.isEmpty else { return line.isEmpty ? nil : withoutMark(line) }
            }
            let rest = UnsafeMutableRawBufferPointer(rebasing: piece[pending])
            // Not empty, so that it has an address.
            let start = rest.baseAddress!
            let end = memchr(start, Int32(TextLimits.newline), rest.count).map { $0 - start }
            line.append(contentsOf: rest[..<(end ?? rest.count)])
            guard line.count <= TextLimits.largest else { throw TextLimits.error(path, "a line") }
            pending = end.map { pending.lowerBound + $0 + 1..<pending.upperBound } ?? 0..<0
            if end != nil { return withoutMark(line) }
        }
    }

    private func withoutMark(_ line: [UInt8]) -> [UInt8] {
        defer { isFirst = false }
        return isFirst && line.starts(with: InputFile.utf8Mark) ? Array(line.dropFirst(InputFile.utf8Mark.count)) : line
    }
}
