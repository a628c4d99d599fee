// A file of text: plain, or documents as JSON. The content decides which, and a name that promises JSON is held to it.

internal import Foundation
internal import JSON
internal import Safetensors

/// The documents of a text file.
///
/// A file is JSON when its name says so (.json, .jsonl, .ndjson), when its first line is a JSON object, or when all of it is one JSON value that
/// begins with a brace or bracket; otherwise it is one plain text. Tables, archives and compressed files are refused by name and by content.
struct TextSource {
    private enum Form { case plain, lines, whole }

    private let path: String
    private let data: Data
    /// Where the text begins: after a byte order mark.
    private let start: Int
    private let form: Form

    private static let jsonNames: Set = ["json", "jsonl", "ndjson", "jsonlines"]

    /// - Throws: for what is no regular file, is empty, or is no text, saying what it is.
    init(path: String) throws {
        self.path = path
        let first = try InputFile.start(of: path)
        try Self.refuseOthers(path, first)
        data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        start = first.starts(with: InputFile.utf8Mark) ? InputFile.utf8Mark.count : 0
        let name = (path as NSString).pathExtension.lowercased()
        form = try Self.form(data[(data.startIndex + start)...], isNamedJSON: Self.jsonNames.contains(name), isNamedLines: name != "json", path)
    }

    // MARK: - What it is

    private static func form(_ text: Data, isNamedJSON: Bool, isNamedLines: Bool, _ path: String) throws -> Form {
        guard let first = text.firstIndex(where: { !isBlank($0) }) else { return isNamedJSON ? .lines : .plain }
        let opensObject = text[first] == UInt8(ascii: "{"), opensArray = text[first] == UInt8(ascii: "[")
        if isNamedJSON, isNamedLines, !opensArray { return .lines }
        if opensObject, isValue(text[first...].prefix { $0 != newline }) { return .lines }
        if isNamedJSON { return .whole }
        return (opensObject || opensArray) && isValue(text) ? .whole : .plain
    }

    private static func isValue(_ text: Data) -> Bool {
        var scanner = JSONScanner([UInt8](text))
        return (try? scanner.value(allowsEqualKeys: true)) != nil && (try? scanner.end()) != nil
    }

    private static func refuseOthers(_ path: String, _ first: [UInt8]) throws {
        if let found = ForeignContent.description(first), found.kind != .webPage { throw PipelineError(.badInput, "\(path): \(found.text)") }
        // Every other byte of Latin letters in UTF-16 is zero.
        let zeros = first.enumerated().filter { $0.element == 0 }.map { $0.offset % 2 }
        let alternates = first.count >= 8 && zeros.count == first.count / 2 && Set(zeros).count == 1
        if first.starts(with: [0xff, 0xfe]) || first.starts(with: [0xfe, 0xff]) || alternates {
            throw PipelineError(.badInput, "\(path) is not UTF-8, but looks like UTF-16; `iconv -f UTF-16 -t UTF-8` turns that into UTF-8")
        }
        let name = (path as NSString).pathExtension.lowercased()
        switch name {
        case "csv", "tsv", "parquet", "pq", "arrow", "feather", "avro", "orc", "xls", "xlsx":
            throw PipelineError(.badInput, "\(path) is named .\(name), and Cleave reads no tables; \(ForeignContent.tableRemedy)")
        case "gz", "tgz", "zst", "zstd", "xz", "bz2", "lz4", "zip", "7z", "tar":
            throw PipelineError(.badInput, "\(path) is named .\(name); unpack it, or rename it if it is plain text")
        case "pt", "pth", "bin", "pkl", "npz", "h5", "hdf5", "gguf", "pdf", "docx":
            throw PipelineError(.badInput, "\(path) is named .\(name), which is no text that Cleave reads; give text, JSON lines, or ids (.npy, .safetensors)")
        default: break
        }
    }

    // MARK: - Its documents

    /// Calls `body` with one document after the other, until it returns false.
    /// - Throws: naming the line of what cannot be read; what `body` throws.
    func forEachDocument(_ body: (String) throws -> Bool) throws {
        let text = data[(data.startIndex + start)...]
        switch form {
        case .plain: _ = try body(try string(text, line: 1))
        case .lines: try forEachLine(text, body)
        case .whole:
            var scanner = JSONScanner([UInt8](text))
            do {
                if scanner.peek() == UInt8(ascii: "[") {
                    try forEachElement(&scanner, body)
                } else {
                    _ = try body(try document(&scanner, line: 1))
                }
            } catch let error as JSONError {
                throw failure(error.line(in: [UInt8](text)), "this is not JSON: \(error.reason)")
            }
        }
    }

    private func forEachLine(_ text: Data, _ body: (String) throws -> Bool) throws {
        var number = 0
        for line in text.split(separator: Self.newline, omittingEmptySubsequences: false) {
            number += 1
            guard !line.allSatisfy(Self.isBlank) else { continue }
            // Says of bytes that are no UTF-8 where they are; JSON's own error would not.
            _ = try string(line, line: number)
            var scanner = JSONScanner([UInt8](line))
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
            switch Self.text(of: try scanner.value(allowsEqualKeys: true)) {
            case .success(let text): documents.append(text)
            case .failure(let problem): if refusal == nil { refusal = PipelineError(.badInput, "\(path): element \(number) \(problem.reason)") }
            }
        }
        try scanner.end()
        if let refusal { throw refusal }
        for document in documents { guard try body(document) else { return } }
    }

    private func document(_ scanner: inout JSONScanner, line: Int) throws -> String {
        switch Self.text(of: try scanner.value(allowsEqualKeys: true)) {
        case .success(let text): return text
        case .failure(let problem): throw failure(line, "this record \(problem.reason)")
        }
    }

    private struct Problem: Error { let reason: String }

    /// The text of a record: its field `text`, or the record itself where it is a string.
    private static func text(of record: JSONValue) -> Result<String, Problem> {
        if let text = record.string { return .success(text) }
        guard let fields = record.object else { return .failure(Problem(reason: "is \(record.kind), not an object with a field `text`")) }
        let found = fields.filter { $0.key == "text" }
        guard let field = found.first, found.count == 1 else {
            let names = fields.prefix(8).map { "`\($0.key)`" }.joined(separator: ", ")
            let remedy = fields.first { $0.value.string != nil }.map { "; `jq -c '{text: .\($0.key)}' FILE` makes one of `\($0.key)`" } ?? ""
            let others = found.count > 1 ? "" : fields.isEmpty ? "; it is empty" : "; it has \(names)\(fields.count > 8 ? " and more" : "")"
            return .failure(Problem(reason: "has \(found.isEmpty ? "no field" : "more than one field") `text`\(others)\(found.isEmpty ? remedy : "")"))
        }
        guard let text = field.value.string else { return .failure(Problem(reason: "has in its field `text` \(field.value.kind), not a string")) }
        return .success(text)
    }

    // MARK: - Bytes

    private static let newline = UInt8(ascii: "\n")

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    /// - Parameter line: of the first byte.
    private func string(_ bytes: Data, line: Int) throws -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let valid = bytes.withUnsafeBytes { Self.validPrefix($0) }
        let before = bytes.prefix(valid)
        let column = valid - (before.lastIndex(of: Self.newline).map { $0 - bytes.startIndex + 1 } ?? 0) + 1
        let byte = bytes[bytes.startIndex + valid]
        throw failure(
            line + before.count { $0 == Self.newline },
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
