// The trace of one rank: what it did from when to when, in the JSON that Perfetto and Chrome's trace viewer open.

internal import Foundation

/// Writes spans to a file as they end. It holds some KiB of them.
///
/// Source: "Trace Event Format", complete events (`X`) and metadata (`M`); times are microseconds.
public final class TraceFile {
    private let path: String
    private let rank: Int
    private let origin: ContinuousClock.Instant
    private let offset: Double
    private var file: FileHandle?
    private var buffer = ""

    /// Bytes that a file has before its first event and behind its last.
    private static let opening = "[\n", separator = ",\n", closing = "\n]\n"

    /// What a rank is called. Perfetto puts processes in the order of their names' letters, so that all numbers have as many digits as the last.
    package static func name(rank: Int, of ranks: Int, host: String) -> String {
        let number = String(rank), digits = String(ranks - 1).count
        return "rank " + String(repeating: "0", count: digits - number.count) + number + " on \(host)"
    }

    /// - Parameters:
    ///   - ranks: of the run.
    ///   - host: of the rank.
    ///   - origin: a moment of this rank's clock.
    ///   - offset: the same moment by the clock of all ranks, in seconds.
    /// - Throws: when the file cannot be made.
    public init(path: String, rank: Int, of ranks: Int, host: String, origin: ContinuousClock.Instant, offset: Double) throws {
        (self.path, self.rank, self.origin, self.offset) = (path, rank, origin, offset)
        guard FileManager.default.createFile(atPath: path, contents: nil) else { throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path]) }
        file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        buffer =
            Self.opening + "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":\(rank),\"args\":{\"name\":\"\(Self.name(rank: rank, of: ranks, host: host))\"}}"
            + Self.separator
            + "{\"name\":\"process_sort_index\",\"ph\":\"M\",\"pid\":\(rank),\"args\":{\"sort_index\":\(rank)}}"
    }

    /// What was done from when to when.
    struct Span {
        /// By which viewers filter.
        enum Kind: String { case part, stage, phase }

        var name: String
        var kind: Kind
        /// From 0, as everywhere in the log of a run.
        var block: Int?
        var stage: String?
        var from: ContinuousClock.Instant
        var to: ContinuousClock.Instant
    }

    func add(_ span: Span) {
        let micros = { (seconds: Double) in String(format: "%.3f", seconds * 1e6) }
        let arguments = [span.block.map { "\"block\":\($0)" }, span.stage.map { "\"stage\":\"\($0)\"" }].compactMap { $0 }.joined(separator: ",")
        buffer +=
            Self.separator + "{\"name\":\"\(span.name)\",\"cat\":\"\(span.kind)\",\"ph\":\"X\",\"pid\":\(rank),\"tid\":0,"
            + "\"ts\":\(micros(offset + origin.duration(to: span.from) / .seconds(1))),\"dur\":\(micros(span.from.duration(to: span.to) / .seconds(1))),"
            + "\"args\":{\(arguments)}}"
        if buffer.utf8.count > 64 << 10 { flush() }
    }

    /// Ends the file.
    public func close() {
        buffer += Self.closing
        flush()
        try? file?.close()
        file = nil
    }

    /// A trace that can no longer be written is no reason to end the run.
    private func flush() {
        defer { buffer = "" }
        do {
            try file?.write(contentsOf: Data(buffer.utf8))
        } catch {
            Console.error("note: \(path) could not be written and is left out of the trace: \(error.localizedDescription)\n")
            file = nil
        }
    }

    /// Joins the files of all ranks, a piece of one at a time.
    /// - Throws: when one cannot be read, or the whole not written.
    public static func merge(_ paths: [String], to path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: Data(opening.utf8)) else {
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path])
        }
        let whole = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        defer { try? whole.close() }
        try whole.seekToEnd()
        for (index, part) in paths.enumerated() {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: part))
            defer { try? file.close() }
            var rest = Int(try file.seekToEnd()) - opening.utf8.count - closing.utf8.count
            try file.seek(toOffset: UInt64(opening.utf8.count))
            if index > 0 { try whole.write(contentsOf: Data(separator.utf8)) }
            while rest > 0, let piece = try file.read(upToCount: min(rest, 1 << 20)), !piece.isEmpty {
                try whole.write(contentsOf: piece)
                rest -= piece.count
            }
        }
        try whole.write(contentsOf: Data(closing.utf8))
    }
}
