// A file of text: plain, or documents as JSON. The content decides which, and a name that promises JSON is held to it.

internal import Decompression
internal import Failures
internal import JSON
internal import Parquet
internal import Safetensors

/// The documents of a text file, which may be compressed by gzip or zstd.
///
/// A file is JSON when its name says so (.json, .jsonl, .ndjson), when its first line is a JSON object, or when all of it is one JSON value that
/// begins with a brace or bracket; a table when its name or its content says Parquet; otherwise it is one plain text. Other tables, archives and
/// other compressed files are refused by name and by content.
///
/// Of lines and tables, one document is in memory at a time, of a plain text a part, and of one JSON value all of it.
struct TextSource {
    private enum Form {
        case plain, lines, whole
        case table(TableTexts)
    }

    private let path: String
    private let bytes: TextBytes
    private let form: Form
    private let record: TextRecord

    private static let jsonNames: Set = ["json", "jsonl", "ndjson", "jsonlines"]

    /// - Parameter field: of records, or the column of a table, that holds the text; nil: `text`.
    /// - Throws: for what is no regular file, is empty, is no text, or has no such column, saying what it is; for a field of a plain text.
    init(path: String, field: String? = nil) throws {
        self.path = path
        record = TextRecord(field: field ?? TextRecord.defaultField)
        bytes = try TextBytes(path: path)
        let first = try bytes.start(), name = bytes.contentExtension
        if first.starts(with: ParquetFile.magic) || ["parquet", "pq"].contains(name) {
            guard bytes.form == nil else {
                throw PipelineError(
                    .badInput,
                    "\(path) is a Parquet table compressed as a whole, which cannot be read in parts; unpack it "
                        + "(its pages are compressed already)")
            }
            form = .table(try TableTexts(path: path, column: record.field))
            return
        }
        try Self.refuseOthers(path, first, name: name)
        form = try Self.form(bytes, isNamedJSON: Self.jsonNames.contains(name), isNamedLines: name != "json")
        if case .plain = form, let field {
            throw PipelineError(.badInput, "\(path) is a plain text, which has no field `\(field)`; leave `field` out, or give JSON lines or a Parquet table")
        }
    }

    // MARK: - What it is

    private static func form(_ bytes: TextBytes, isNamedJSON: Bool, isNamedLines: Bool) throws -> Form {
        let lines = try bytes.lines()
        var line: [UInt8]?
        repeat { line = try lines.next() } while line?.allSatisfy(isBlank) == true
        guard let line, let first = line.first(where: { !isBlank($0) }) else { return isNamedJSON ? .lines : .plain }
        let opensObject = first == UInt8(ascii: "{"), opensArray = first == UInt8(ascii: "[")
        if isNamedJSON, isNamedLines, !opensArray { return .lines }
        if opensObject, isValue(line) { return .lines }
        if isNamedJSON { return .whole }
        return try (opensObject || opensArray) && isValue(bytes.whole()) ? .whole : .plain
    }

    private static func isValue(_ text: [UInt8]) -> Bool {
        var scanner = JSONScanner(text)
        return (try? scanner.value(allowsEqualKeys: true)) != nil && (try? scanner.end()) != nil
    }

    // MARK: - Its documents

    /// Calls `body` with the documents one after the other, in one part or several, and with whether a part is the last of its document, until it returns false.
    /// - Throws: naming the line of what cannot be read; what `body` throws.
    func forEachPart(_ body: (_ part: String, _ isLast: Bool) throws -> Bool) throws {
        func whole(_ document: String) throws -> Bool { try body(document, true) }
        switch form {
        case .plain: try forEachPiece(body)
        case .lines: try forEachLine(whole)
        case .table(let table): try table.forEachDocument(whole)
        case .whole:
            let text = try bytes.whole()
            var scanner = JSONScanner(text)
            do {
                if scanner.peek() == UInt8(ascii: "[") {
                    try forEachElement(&scanner, whole)
                } else {
                    _ = try whole(try document(&scanner, line: 1))
                }
            } catch let error as JSONError {
                throw failure(error.line(in: text), "this is not JSON: \(error.reason)")
            }
        }
    }

    /// The pieces of a plain text, each of whole scalars.
    private func forEachPiece(_ body: (_ part: String, _ isLast: Bool) throws -> Bool) throws {
        let source = try bytes.open()
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { piece.deallocate() }
        var held: [UInt8] = [], isFirst = true
        var (line, before) = (1, 0)
        while true {
            let read = try source.read(into: piece)
            held.append(contentsOf: piece[..<read])
            if isFirst, held.starts(with: InputFile.utf8Mark) { held.removeFirst(InputFile.utf8Mark.count) }
            isFirst = false
            let part = held[..<(read == 0 ? held.count : held.count - Self.openBytes(held))]
            guard try body(try string(Array(part), line: line, before: before), read == 0), read > 0 else { return }
            line += part.count { $0 == TextLimits.newline }
            before = part.lastIndex(of: TextLimits.newline).map { part.count - $0 - 1 } ?? before + part.count
            held.removeFirst(part.count)
        }
    }

    /// Bytes at the end of a piece whose scalar goes on in the next one.
    private static func openBytes(_ bytes: [UInt8]) -> Int {
        for back in 1...3 where back <= bytes.count && bytes[bytes.count - back] & 0xc0 != 0x80 {
            // Its first byte says how many there are.
            return back < (~bytes[bytes.count - back]).leadingZeroBitCount ? back : 0
        }
        return 0
    }

    private func forEachLine(_ body: (String) throws -> Bool) throws {
        let lines = try bytes.lines()
        var number = 0
        while let line = try lines.next() {
            number += 1
            guard !line.allSatisfy(Self.isBlank) else { continue }
            // Says of bytes that are no UTF-8 where they are; JSON's own error would not.
            _ = try string(line, line: number)
            var scanner = JSONScanner(line)
            let document: String
            do {
                document = try self.document(&scanner, line: number)
                try scanner.end()
            } catch let error as JSONError {
                throw failure(number, "this line is not JSON: \(error.reason)")
            }
            guard try body(document) else { return }
        }
    }

    private func forEachElement(_ scanner: inout JSONScanner, _ body: (String) throws -> Bool) throws {
        // Documents first, their texts second: a scanner's closures throw its own errors alone.
        var documents: [String] = [], number = 0
        var refusal: PipelineError?
        try scanner.array { (scanner) throws(JSONError) in
            number += 1
            switch record.text(of: try scanner.value(allowsEqualKeys: true)) {
            case .success(let text): documents.append(text)
            case .failure(let problem): if refusal == nil { refusal = PipelineError(.badInput, "\(path): element \(number) \(problem.reason)") }
            }
        }
        try scanner.end()
        if let refusal { throw refusal }
        for document in documents { guard try body(document) else { return } }
    }

    private func document(_ scanner: inout JSONScanner, line: Int) throws -> String {
        switch record.text(of: try scanner.value(allowsEqualKeys: true)) {
        case .success(let text): return text
        case .failure(let problem): throw failure(line, "this record \(problem.reason)")
        }
    }

    // MARK: - Bytes

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    /// - Parameters:
    ///   - line: of the first byte.
    ///   - before: bytes of that line before it.
    private func string(_ bytes: [UInt8], line: Int, before count: Int = 0) throws -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let valid = bytes.withUnsafeBytes { Self.validPrefix($0) }
        let before = bytes.prefix(valid)
        let column = valid - (before.lastIndex(of: TextLimits.newline).map { $0 + 1 } ?? -count) + 1
        let byte = bytes[valid]
        throw failure(
            line + before.count { $0 == TextLimits.newline },
            "byte \(column) of this line (0x\(String(byte, radix: 16))) is not UTF-8; `iconv -f LATIN1 -t UTF-8` turns Latin-1 into UTF-8")
    }

    /// Bytes before the first that no UTF-8 has there.
    private static func validPrefix(_ bytes: UnsafeRawBufferPointer) -> Int {
        var decoder = UTF8(), iterator = bytes.makeIterator(), count = 0
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { count += UTF8.width(scalar) }
        return count
    }

    private func failure(_ line: Int, _ problem: String) -> PipelineError { PipelineError(.badInput, "\(path):\(line): \(problem)") }
}
