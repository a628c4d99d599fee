// Typed reading of a config.json, where every complaint names file, key and value.

internal import Foundation

/// A JSON value as written.
enum JSONValue: Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// From what `JSONSerialization` gives. Trying one type after the other with `Decodable`, or a cast of an object to another kind of
    /// value, would take seconds for values nested deep.
    init(_ value: Any) {
        switch value {
        case let members as [String: Any]: self = .object(members.mapValues(JSONValue.init))
        case let elements as [Any]: self = .array(elements.map(JSONValue.init))
        case let text as String: self = .string(text)
        case let number as NSNumber:
            // Foundation keeps booleans as numbers of C's type `char`.
            if String(cString: number.objCType) == "c" {
                self = .bool(number.boolValue)
            } else if let integer = Int(exactly: number) ?? Int(exactly: number.doubleValue) {
                self = .integer(integer)
            } else {
                self = .number(number.doubleValue)
            }
        default: self = .null
        }
    }

    /// The value for a message.
    var text: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let value): "\"\(value)\""
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// The keys of a config.json, or of an object inside it. A key whose value is null counts as absent.
struct Configuration {
    /// No extent of a model comes near this; bounding them keeps every product of a few of them within 64 bits.
    static let largestCount = 1 << 24
    /// Blocks are held as a list, which a mistaken number must not make endless.
    private static let largestBlockCount = 1 << 14

    let source: String
    private let prefix: String
    private let values: [String: JSONValue]

    init(_ data: Data, source: String) throws(ArchitectureError) {
        let found: Any
        do {
            found = try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)
        } catch {
            throw .malformed(source: source, reason: "\(error)")
        }
        guard case .object(let members) = JSONValue(found) else { throw .malformed(source: source, reason: "it is another kind of value") }
        values = members
        self.source = source
        prefix = ""
    }

    private init(source: String, prefix: String, values: [String: JSONValue]) {
        self.source = source
        self.prefix = prefix
        self.values = values
    }

    func has(_ key: String) -> Bool { value(key) != nil }

    /// Whether the key is there with the value null: for a few keys that means "none", and absence a default.
    func isNull(_ key: String) -> Bool { values[key] == .null }

    /// A whole number from 1 to `largestCount`.
    func count(_ key: String, default fallback: Int? = nil) throws(ArchitectureError) -> Int {
        guard let value = value(key) else { return try required(fallback, key) }
        guard case .integer(let count) = value, (1...Self.largestCount).contains(count) else {
            throw invalid(key, "a whole number from 1 to \(Self.largestCount)")
        }
        return count
    }

    /// A whole number from 1 to `largestCount`, if the key is there.
    func optionalCount(_ key: String) throws(ArchitectureError) -> Int? {
        has(key) ? try count(key) : nil
    }

    /// The number of blocks.
    func blockCount(_ key: String) throws(ArchitectureError) -> Int {
        let found = try count(key)
        guard found <= Self.largestBlockCount else { throw invalid(key, "a whole number from 1 to \(Self.largestBlockCount)") }
        return found
    }

    /// A whole number from 0 to `largestCount`.
    func index(_ key: String, default fallback: Int? = nil) throws(ArchitectureError) -> Int {
        guard let value = value(key) else { return try required(fallback, key) }
        guard case .integer(let index) = value, (0...Self.largestCount).contains(index) else {
            throw invalid(key, "a whole number from 0 to \(Self.largestCount)")
        }
        return index
    }

    /// A finite number above zero.
    func positive(_ key: String, default fallback: Double? = nil) throws(ArchitectureError) -> Double {
        guard let value = value(key) else { return try required(fallback, key) }
        let number: Double
        switch value {
        case .integer(let integer): number = Double(integer)
        case .number(let double): number = double
        default: throw invalid(key, "a number above 0")
        }
        guard number > 0, number.isFinite else { throw invalid(key, "a number above 0") }
        return number
    }

    func flag(_ key: String, default fallback: Bool) throws(ArchitectureError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard case .bool(let flag) = value else { throw invalid(key, "true or false") }
        return flag
    }

    func string(_ key: String, default fallback: String? = nil) throws(ArchitectureError) -> String {
        guard let value = value(key) else { return try required(fallback, key) }
        guard case .string(let string) = value else { throw invalid(key, "a string") }
        return string
    }

    func strings(_ key: String) throws(ArchitectureError) -> [String]? {
        guard let value = value(key) else { return nil }
        guard case .array(let elements) = value else { throw invalid(key, "an array of strings") }
        var strings: [String] = []
        for element in elements {
            guard case .string(let string) = element else { throw invalid(key, "an array of strings") }
            strings.append(string)
        }
        return strings
    }

    func object(_ key: String) throws(ArchitectureError) -> Configuration? {
        guard let value = value(key) else { return nil }
        guard case .object(let members) = value else { throw invalid(key, "an object") }
        return Configuration(source: source, prefix: prefix + key + ".", values: members)
    }

    /// Refuses a switch of the family that the forward pass does not implement.
    func require(_ key: String, _ needed: Bool) throws(ArchitectureError) {
        guard try flag(key, default: needed) == needed else { throw unsupported(key, "\(needed)") }
    }

    func invalid(_ key: String, _ expected: String) -> ArchitectureError {
        .invalid(source: source, key: prefix + key, found: text(key), expected: expected)
    }

    func unsupported(_ key: String, _ supported: String) -> ArchitectureError {
        .unsupported(source: source, key: prefix + key, found: text(key), supported: supported)
    }

    private func value(_ key: String) -> JSONValue? {
        guard let value = values[key], value != .null else { return nil }
        return value
    }

    private func text(_ key: String) -> String { values[key]?.text ?? "absent" }

    private func required<Value>(_ fallback: Value?, _ key: String) throws(ArchitectureError) -> Value {
        guard let fallback else { throw .missing(source: source, key: prefix + key) }
        return fallback
    }
}
