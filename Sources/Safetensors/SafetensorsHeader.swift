// The header of a safetensors file: its JSON read and held to every rule of the format.

internal import JSON

/// What the header of a safetensors file says, after validation.
///
/// Refuses all that the reference reader refuses (`safetensors/src/tensor.rs`), and besides, on purpose:
/// - a key given twice: of tensors and `__metadata__` the reference keeps the last. Names that differ only in Unicode
///   normalisation count as equal;
/// - white space before the opening brace, against the format's own text;
/// - tensors written as arrays and dtypes written as objects, which the reference takes by accident of its library;
/// - dimensions and offsets of 2^63 and more.
struct SafetensorsHeader {
    var metadata: [String: String] = [:]
    /// In the order of the data.
    var entries: [TensorEntry] = []

    /// 100 MB, the reference reader's limit.
    static let maximumByteCount = 100_000_000
    static let metadataKey = "__metadata__"

    /// - Parameters:
    ///   - json: the header without the 8 bytes that give its length
    ///   - fileSize: bytes of the whole file
    /// - Throws: `.malformed`
    init(json: [UInt8], fileSize: Int, path: String) throws(SafetensorsError) {
        guard json.first == UInt8(ascii: "{") else {
            throw Self.malformed(path, "The header does not start with '{'; this is not a safetensors file.")
        }
        do {
            try parse(json)
        } catch {
            throw Self.malformed(path, "The header is invalid at byte \(8 + error.offset): \(error.reason).")
        }
        try placeEntries(dataStart: 8 + json.count, fileSize: fileSize, path: path)
    }

    static func malformed(_ path: String, _ reason: String) -> SafetensorsError {
        SafetensorsError(.malformed, path: path, reason)
    }
}

// MARK: - JSON

extension SafetensorsHeader {
    private mutating func parse(_ json: [UInt8]) throws(JSONError) {
        var scanner = JSONScanner(json)
        var metadata: [String: String] = [:]
        var entries: [TensorEntry] = []
        try scanner.object { (scanner, name) throws(JSONError) in
            if name == Self.metadataKey {
                // The reference takes null for "no metadata".
                if try scanner.takeNull() { return }
                try scanner.object { (scanner, key) throws(JSONError) in metadata[key] = try scanner.string() }
            } else {
                entries.append(try Self.parseEntry(named: name, &scanner))
            }
        }
        try scanner.end()
        self.metadata = metadata
        self.entries = entries
    }

    /// Reads one tensor's object; its byte range is still relative to the start of the data.
    private static func parseEntry(
        named name: String, _ scanner: inout JSONScanner
    ) throws(JSONError) -> TensorEntry {
        _ = scanner.peek()
        let start = scanner.offset
        var type: ElementType?
        var shape: [Int]?
        var offsets: Range<Int>?
        try scanner.object { (scanner, key) throws(JSONError) in
            switch key {
            case "dtype": type = try parseType(&scanner)
            case "shape": shape = try parseIntegers(&scanner)
            case "data_offsets": offsets = try parseOffsets(&scanner)
            default: try scanner.skipValue()
            }
        }
        guard let type else { throw JSONError(offset: start, reason: "tensor \"\(name)\" has no dtype") }
        guard let shape else { throw JSONError(offset: start, reason: "tensor \"\(name)\" has no shape") }
        guard let offsets else { throw JSONError(offset: start, reason: "tensor \"\(name)\" has no data_offsets") }
        let byteCount: Int
        do {
            byteCount = try type.byteCount(shape: shape)
        } catch {
            throw JSONError(offset: start, reason: "tensor \"\(name)\": \(error.reason)")
        }
        guard offsets.count == byteCount else {
            throw JSONError(
                offset: start,
                reason: """
                    tensor "\(name)" of shape \(shape) and type \(type.rawValue) takes \(byteCount) bytes, \
                    but its data_offsets span \(offsets.count)
                    """)
        }
        let description = TensorDescription(name: name, type: type, shape: shape, byteCount: byteCount)
        return TensorEntry(description: description, bytes: offsets)
    }

    private static func parseType(_ scanner: inout JSONScanner) throws(JSONError) -> ElementType {
        _ = scanner.peek()
        let start = scanner.offset
        let name = try scanner.string()
        guard let type = ElementType(rawValue: name) else {
            let known = ElementType.allCases.map(\.rawValue).joined(separator: " ")
            throw JSONError(offset: start, reason: "unknown dtype \"\(name)\"; known are \(known)")
        }
        return type
    }

    private static func parseIntegers(_ scanner: inout JSONScanner) throws(JSONError) -> [Int] {
        var values: [Int] = []
        try scanner.array { (scanner) throws(JSONError) in values.append(try scanner.unsignedInteger()) }
        return values
    }

    private static func parseOffsets(_ scanner: inout JSONScanner) throws(JSONError) -> Range<Int> {
        _ = scanner.peek()
        let start = scanner.offset
        let values = try parseIntegers(&scanner)
        guard values.count == 2 else {
            throw JSONError(offset: start, reason: "data_offsets has \(values.count) numbers instead of 2")
        }
        guard values[0] <= values[1] else {
            throw JSONError(
                offset: start, reason: "data_offsets begin at \(values[0]), after their end at \(values[1])")
        }
        return values[0]..<values[1]
    }
}

// MARK: - Layout

extension SafetensorsHeader {
    /// Sorts the entries by position, checks that they cover the data without hole or overlap, makes ranges absolute.
    private mutating func placeEntries(dataStart: Int, fileSize: Int, path: String) throws(SafetensorsError) {
        entries.sort { ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound) }
        let dataSize = fileSize - dataStart
        var covered = 0
        for index in entries.indices {
            let entry = entries[index]
            guard entry.bytes.lowerBound == covered else {
                let fault = entry.bytes.lowerBound > covered ? "leaves a hole after" : "overlaps"
                throw Self.malformed(
                    path,
                    "Tensor \"\(entry.name)\" starts at data offset \(entry.bytes.lowerBound), which \(fault) what is before it (ending at \(covered)).")
            }
            covered = entry.bytes.upperBound
            guard covered <= dataSize else {
                throw Self.malformed(
                    path,
                    """
                    The file is truncated: tensor "\(entry.name)" ends at data offset \(covered), but only \
                    \(dataSize) bytes follow the header. Fetch or write the file again.
                    """)
            }
            entries[index] = TensorEntry(
                description: entry.description,
                bytes: dataStart + entry.bytes.lowerBound..<dataStart + entry.bytes.upperBound)
        }
        guard covered == dataSize else {
            throw Self.malformed(
                path, "\(dataSize - covered) bytes follow the last tensor, whose data ends at data offset \(covered).")
        }
    }
}
