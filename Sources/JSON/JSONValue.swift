// A JSON value, and its text with the keys in a fixed order, so that equal results are equal bytes.

/// A JSON value. Objects keep the order of their members.
public enum JSONValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([(key: String, value: JSONValue)])

    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements.map { (key: $0.0, value: $0.1) }) }

    /// The text, indented by two spaces a level, with a newline at its end.
    public func text() -> String { render(indent: "") + "\n" }

    private func render(indent: String) -> String {
        let inner = indent + "  "
        return switch self {
        case .null: "null"
        case .boolean(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .number(let value): value.isFinite ? "\(value)" : "null"
        case .string(let value): JSONText.quoted(value)
        case .array(let values):
            values.isEmpty ? "[]" : "[\n" + values.map { inner + $0.render(indent: inner) }.joined(separator: ",\n") + "\n\(indent)]"
        case .object(let entries):
            entries.isEmpty
                ? "{}"
                : "{\n" + entries.map { inner + JSONText.quoted($0.key) + ": " + $0.value.render(indent: inner) }.joined(separator: ",\n") + "\n\(indent)}"
        }
    }
}
