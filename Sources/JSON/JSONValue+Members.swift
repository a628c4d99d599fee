// Looking into a JSON value, and changing it.

extension JSONValue {
    /// The value of an object's key; nil for other kinds of value, for a key that is not there, and for null.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let entries) = self, let value = entries.first(where: { $0.key == key })?.value else { return nil }
        if case .null = value { return nil }
        return value
    }

    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var integer: Int? { if case .integer(let value) = self { value } else { nil } }
    public var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    public var object: [(key: String, value: JSONValue)]? { if case .object(let value) = self { value } else { nil } }

    /// The kind of value, with its article, for messages.
    public var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The value without a key of an object.
    public func removing(_ key: String) -> JSONValue {
        guard case .object(let entries) = self else { return self }
        return .object(entries.filter { $0.key != key })
    }

    /// The value with one key of an object set; other kinds of value stay as they are.
    public func setting(_ key: String, _ value: JSONValue) -> JSONValue {
        guard case .object(var entries) = self else { return self }
        if let index = entries.firstIndex(where: { $0.key == key }) {
            entries[index].value = value
        } else {
            entries.append((key: key, value: value))
            entries.sort { $0.key < $1.key }
        }
        return .object(entries)
    }
}
