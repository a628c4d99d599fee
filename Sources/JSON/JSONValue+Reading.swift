// Reading JSON text as a value.

extension JSONScanner {
    /// Reads a value of any kind. Numbers written as integers that fit 64 bits are integers, all others are not.
    /// - Parameter allowsEqualKeys: as in `object`, for this object and all in it
    package mutating func value(allowsEqualKeys: Bool = false) throws(JSONError) -> JSONValue {
        switch peek() {
        case UInt8(ascii: "{"):
            var members: [(key: String, value: JSONValue)] = []
            try object(allowsEqualKeys: allowsEqualKeys) { (scanner, key) throws(JSONError) in
                members.append((key, try scanner.value(allowsEqualKeys: allowsEqualKeys)))
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { (scanner) throws(JSONError) in elements.append(try scanner.value(allowsEqualKeys: allowsEqualKeys)) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            try literal("true")
            return .boolean(true)
        case UInt8(ascii: "f"):
            try literal("false")
            return .boolean(false)
        case UInt8(ascii: "n"):
            try literal("null")
            return .null
        default:
            let (start, isInteger) = try number()
            let text = String(decoding: bytes[start..<offset], as: UTF8.self)
            if isInteger, let integer = Int(text) { return .integer(integer) }
            guard let number = Double(text) else { throw JSONError(offset: start, reason: "invalid number") }
            return .number(number)
        }
    }
}

extension JSONValue {
    /// A JSON text as a value, the keys of all objects sorted.
    /// - Throws: `JSONError`, also for a key that an object has twice
    package init(parsing text: [UInt8]) throws(JSONError) {
        var scanner = JSONScanner(text)
        let value = try scanner.value()
        try scanner.end()
        self = value.sorted
    }

    private var sorted: JSONValue {
        switch self {
        case .array(let elements): .array(elements.map(\.sorted))
        case .object(let members): .object(members.map { (key: $0.key, value: $0.value.sorted) }.sorted { $0.key < $1.key })
        default: self
        }
    }
}
