// Looking into a JSON value that was read.

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

    /// The value without a key of an object.
    public func removing(_ key: String) -> JSONValue {
        guard case .object(let entries) = self else { return self }
        return .object(entries.filter { $0.key != key })
    }
}
