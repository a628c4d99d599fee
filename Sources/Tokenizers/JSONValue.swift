// JSON whose strings are bytes, because Swift compares strings by canonical equivalence and a vocabulary may not.

/// A JSON value. Objects keep their members in the file's order.
enum JSONValue {
    case null
    case bool(Bool)
    /// The number as written; `JSONNode.integer()` reads it.
    case number([UInt8])
    /// UTF-8, escapes resolved.
    case string([UInt8])
    case array([JSONValue])
    case object([Member])

    struct Member {
        let key: [UInt8]
        let value: JSONValue
    }

    /// The kind of value, with its article, for error messages.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}
