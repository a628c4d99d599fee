// A strict JSON reader (RFC 8259) for `JSONValue`; it reports the line of the first fault.

/// Reads one JSON text. Refuses invalid UTF-8, unpaired surrogates, and nesting deeper than `maximumDepth`.
struct JSONReader {
    private static let maximumDepth = 128
    private let file: String
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0

    private init(file: String, bytes: UnsafeBufferPointer<UInt8>) {
        self.file = file
        self.bytes = bytes
    }

    /// - Parameter file: names the source in errors.
    static func read(_ bytes: UnsafeBufferPointer<UInt8>, file: String) throws(TokenizerError) -> JSONValue {
        var reader = JSONReader(file: file, bytes: bytes)
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw TokenizerError(file: file, place: "", problem: "the file is not valid UTF-8, so it is not JSON.")
        }
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.fault("unexpected text after the end of the JSON value") }
        return value
    }

    private mutating func value(depth: Int) throws(TokenizerError) -> JSONValue {
        guard depth <= Self.maximumDepth else { throw fault("values are nested deeper than \(Self.maximumDepth)") }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case .some(UInt8(ascii: "-")), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
        case nil: throw fault("the file ends in the middle of a value")
        default: throw fault("a JSON value was expected")
        }
    }

    private mutating func object(depth: Int) throws(TokenizerError) -> JSONValue {
        var members: [JSONValue.Member] = []
        position += 1
        skipSpace()
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw fault("a key in double quotes was expected") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw fault("':' was expected after a key") }
            members.append(JSONValue.Member(key: key, value: try value(depth: depth + 1)))
            skipSpace()
        } while take(",")
        guard take("}") else { throw fault("',' or '}' was expected in an object") }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(TokenizerError) -> JSONValue {
        var elements: [JSONValue] = []
        position += 1
        skipSpace()
        if take("]") { return .array(elements) }
        repeat {
            elements.append(try value(depth: depth + 1))
            skipSpace()
        } while take(",")
        guard take("]") else { throw fault("',' or ']' was expected in an array") }
        return .array(elements)
    }

    private mutating func string() throws(TokenizerError) -> [UInt8] {
        position += 1
        var result: [UInt8] = []
        var start = position
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                result.append(contentsOf: bytes[start..<position])
                position += 1
                return result
            case UInt8(ascii: "\\"):
                result.append(contentsOf: bytes[start..<position])
                try appendEscape(to: &result)
                start = position
            case 0..<0x20:
                throw fault("a control character inside a string must be escaped")
            default:
                position += 1
            }
        }
        throw fault("the file ends inside a string")
    }

    private mutating func appendEscape(to result: inout [UInt8]) throws(TokenizerError) {
        position += 1
        guard let letter = peek else { throw fault("the file ends inside a string") }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(letter)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"): result.append(contentsOf: String(Character(try escapedScalar())).utf8)
        default: throw fault("an unknown escape in a string")
        }
    }

    private mutating func escapedScalar() throws(TokenizerError) -> Unicode.Scalar {
        let unit = try hexadecimal()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        guard UTF16.isLeadSurrogate(unit), take("\\"), take("u") else { throw fault("an unpaired surrogate in a string") }
        let trail = try hexadecimal()
        guard UTF16.isTrailSurrogate(trail) else { throw fault("an unpaired surrogate in a string") }
        return UTF16.decode(UTF16.EncodedScalar([unit, trail]))
    }

    private mutating func hexadecimal() throws(TokenizerError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("four hexadecimal digits were expected after \\u")
            }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }

    private mutating func number() throws(TokenizerError) -> JSONValue {
        let start = position
        _ = take("-")
        let first = peek
        guard digits() > 0, first != UInt8(ascii: "0") || position - start <= (bytes[start] == UInt8(ascii: "-") ? 2 : 1) else {
            throw fault("a malformed number")
        }
        if take("."), digits() == 0 { throw fault("a malformed number") }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            if digits() == 0 { throw fault("a malformed number") }
        }
        return .number(Array(bytes[start..<position]))
    }

    private mutating func digits() -> Int {
        let start = position
        while let byte = peek, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { position += 1 }
        return position - start
    }

    private mutating func literal(_ word: StaticString, _ value: JSONValue) throws(TokenizerError) -> JSONValue {
        let end = position + word.utf8CodeUnitCount
        let matches =
            end <= bytes.count
            && bytes[position..<end].elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        guard matches else { throw fault("a JSON value was expected") }
        position = end
        return value
    }

    private var peek: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func fault(_ problem: String) -> TokenizerError {
        let line = bytes[..<min(position, bytes.count)].count { $0 == 0x0A } + 1
        return TokenizerError(file: file, place: "line \(line)", problem: "malformed JSON: \(problem).")
    }
}
