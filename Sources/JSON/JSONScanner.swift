// A strict JSON scanner over bytes: duplicate keys, bad UTF-8 and unpaired surrogates are errors with a position.

/// Pulls values out of JSON text in order, without building a tree.
///
/// Foundation's parsers keep the last of two equal keys; a header in which a tensor appears twice must be refused.
/// Speed matters too (safetensors headers reach 100 MB), hence bytes and no intermediate values.
package struct JSONScanner {
    let bytes: [UInt8]
    package internal(set) var offset = 0
    private var depth = 0

    /// serde_json's limit, which the reference reader inherits.
    private static let maximumDepth = 127

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The next significant byte, or nil at the end.
    package mutating func peek() -> UInt8? {
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): offset += 1
            case let byte: return byte
            }
        }
        return nil
    }

    /// Reads an object and calls `member` at each value, which it must consume.
    /// - Parameter allowsEqualKeys: for objects whose keys are compared by bytes, as those of a vocabulary are: Swift takes
    ///   keys for equal that differ only in Unicode normalisation
    package mutating func object(
        allowsEqualKeys: Bool = false, _ member: (inout JSONScanner, _ key: String) throws(JSONError) -> Void
    ) throws(JSONError) {
        try enter("{", "an object")
        defer { depth -= 1 }
        if take("}") { return }
        var keys: Set<String> = []
        repeat {
            guard peek() == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
            let keyOffset = offset
            let key = try string()
            guard allowsEqualKeys || keys.insert(key).inserted else {
                throw JSONError(offset: keyOffset, reason: "duplicate key \"\(key)\"")
            }
            guard take(":") else { throw unexpected("':' after a key") }
            try member(&self, key)
        } while take(",")
        guard take("}") else { throw unexpected("',' or '}'") }
    }

    /// Reads an array and calls `element` at each value, which it must consume.
    package mutating func array(_ element: (inout JSONScanner) throws(JSONError) -> Void) throws(JSONError) {
        try enter("[", "an array")
        defer { depth -= 1 }
        if take("]") { return }
        repeat {
            try element(&self)
        } while take(",")
        guard take("]") else { throw unexpected("',' or ']'") }
    }

    /// Reads a whole number from 0 to the largest `Int`, written without fraction or exponent.
    package mutating func unsignedInteger() throws(JSONError) -> Int {
        let (start, isInteger) = try number()
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        guard isInteger, !text.hasPrefix("-") else {
            throw JSONError(offset: start, reason: "\(text) is not a whole number of at least 0")
        }
        guard let value = Int(text) else {
            throw JSONError(offset: start, reason: "\(text) is out of the 64-bit range")
        }
        return value
    }

    /// Reads and forgets a value of any kind, holding it to the same rules.
    package mutating func skipValue() throws(JSONError) {
        switch peek() {
        case UInt8(ascii: "{"): try object { (scanner, _) throws(JSONError) in try scanner.skipValue() }
        case UInt8(ascii: "["): try array { (scanner) throws(JSONError) in try scanner.skipValue() }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default: _ = try number()
        }
    }

    /// Consumes `null` if it is next.
    package mutating func takeNull() throws(JSONError) -> Bool {
        guard peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    /// Checks that nothing but white space is left.
    package mutating func end() throws(JSONError) {
        guard peek() == nil else { throw unexpected("the end of the text") }
    }

    /// The error for finding something else than `expected` here.
    mutating func unexpected(_ expected: String) -> JSONError {
        guard let byte = peek() else { return JSONError(offset: offset, reason: "expected \(expected), found the end") }
        let isPrintable = (0x21...0x7e).contains(byte)
        let found = isPrintable ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x" + String(byte, radix: 16)
        return JSONError(offset: offset, reason: "expected \(expected), found \(found)")
    }
}

// MARK: - Tokens

extension JSONScanner {
    private mutating func enter(_ opening: Unicode.Scalar, _ expected: String) throws(JSONError) {
        guard take(opening) else { throw unexpected(expected) }
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw JSONError(offset: offset, reason: "nested deeper than \(Self.maximumDepth) levels")
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: scalar) else { return false }
        offset += 1
        return true
    }

    mutating func literal(_ text: StaticString) throws(JSONError) {
        let start = offset
        let matches = text.withUTF8Buffer { bytes[start...].starts(with: $0) }
        guard matches else { throw unexpected("\(text)") }
        offset += text.utf8CodeUnitCount
    }

    /// Moves past a number; tells where it began and whether it was written as an integer.
    mutating func number() throws(JSONError) -> (start: Int, isInteger: Bool) {
        guard let first = peek(), first == UInt8(ascii: "-") || Self.isDigit(first) else { throw unexpected("a value") }
        let start = offset
        if first == UInt8(ascii: "-") { offset += 1 }
        let leading = offset
        let wholeDigits = digits()
        guard wholeDigits > 0, wholeDigits == 1 || bytes[leading] != UInt8(ascii: "0") else {
            throw JSONError(offset: start, reason: "invalid number")
        }
        var isInteger = true
        if current == UInt8(ascii: ".") {
            offset += 1
            isInteger = false
            guard digits() > 0 else { throw JSONError(offset: start, reason: "invalid number") }
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            offset += 1
            isInteger = false
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            guard digits() > 0 else { throw JSONError(offset: start, reason: "invalid number") }
        }
        // Integers of up to 18 digits cannot overflow, and they are nearly all there are.
        if !isInteger || wholeDigits > 18 {
            let value = Double(String(decoding: bytes[start..<offset], as: UTF8.self))
            guard let value, value.isFinite else { throw JSONError(offset: start, reason: "number out of range") }
        }
        return (start, isInteger)
    }

    private mutating func digits() -> Int {
        let start = offset
        while let byte = current, Self.isDigit(byte) { offset += 1 }
        return offset - start
    }

    var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
