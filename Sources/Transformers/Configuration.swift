// Typed reading of a config.json, where every complaint names file, key and value.

internal import Foundation
internal import JSON

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
        let text = [UInt8](data)
        let found: JSONValue
        do {
            found = try JSONValue(parsing: text)
        } catch {
            throw .malformed(source: source, reason: "line \(error.line(in: text)): \(error.reason)")
        }
        guard let members = found.object else { throw .malformed(source: source, reason: "it is \(found.kind)") }
        values = Dictionary(uniqueKeysWithValues: members)
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
    func isNull(_ key: String) -> Bool { if case .null? = values[key] { true } else { false } }

    /// A whole number from 1 to `largestCount`.
    func count(_ key: String, default fallback: Int? = nil) throws(ArchitectureError) -> Int {
        guard let value = value(key) else { return try required(fallback, key) }
        guard let count = Self.whole(value), (1...Self.largestCount).contains(count) else {
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
        guard let index = Self.whole(value), (0...Self.largestCount).contains(index) else {
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
        guard let flag = value.boolean else { throw invalid(key, "true or false") }
        return flag
    }

    func string(_ key: String, default fallback: String? = nil) throws(ArchitectureError) -> String {
        guard let value = value(key) else { return try required(fallback, key) }
        guard let string = value.string else { throw invalid(key, "a string") }
        return string
    }

    func strings(_ key: String) throws(ArchitectureError) -> [String]? {
        guard let value = value(key) else { return nil }
        guard let elements = value.array else { throw invalid(key, "an array of strings") }
        var strings: [String] = []
        for element in elements {
            guard let string = element.string else { throw invalid(key, "an array of strings") }
            strings.append(string)
        }
        return strings
    }

    func object(_ key: String) throws(ArchitectureError) -> Configuration? {
        guard let value = value(key) else { return nil }
        guard let members = value.object else { throw invalid(key, "an object") }
        return Configuration(source: source, prefix: prefix + key + ".", values: Dictionary(uniqueKeysWithValues: members))
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
        isNull(key) ? nil : values[key]
    }

    /// A whole number, which may be written as 1.0.
    private static func whole(_ value: JSONValue) -> Int? {
        if case .number(let number) = value { Int(exactly: number) } else { value.integer }
    }

    /// The value for a message.
    private func text(_ key: String) -> String {
        switch values[key] {
        case nil: "absent"
        case .array?: "an array"
        case .object?: "an object"
        case let value?: String(value.text().dropLast())
        }
    }

    private func required<Value>(_ fallback: Value?, _ key: String) throws(ArchitectureError) -> Value {
        guard let fallback else { throw .missing(source: source, key: prefix + key) }
        return fallback
    }
}
