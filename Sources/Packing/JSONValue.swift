// JSON that is written with its keys in a fixed order, so that equal results are equal bytes.

internal import Foundation
internal import Safetensors

/// A JSON value to be written.
public enum JSONValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    /// Keys in the order in which they are written.
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

extension JSONValue {
    /// A JSON text as a value, keys sorted; nil when it is not valid JSON.
    public init?(parsing data: [UInt8]) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(data), options: [.fragmentsAllowed]) else { return nil }
        self.init(object)
    }

    private init(_ object: Any) {
        // Objects and arrays first: a cast of one to another kind of value takes time that grows with all that is in it.
        switch object {
        case let dictionary as [String: Any]:
            self = .object(dictionary.sorted { $0.key < $1.key }.map { (key: $0.key, value: JSONValue($0.value)) })
        case let array as [Any]: self = .array(array.map(JSONValue.init))
        case let text as String: self = .string(text)
        case let number as NSNumber:
            // Foundation keeps booleans as numbers of C's type `char`.
            if String(cString: number.objCType) == "c" {
                self = .boolean(number.boolValue)
            } else if !["d", "f"].contains(String(cString: number.objCType)), let integer = Int(exactly: number) {
                self = .integer(integer)
            } else {
                self = .number(number.doubleValue)
            }
        default: self = .null
        }
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
