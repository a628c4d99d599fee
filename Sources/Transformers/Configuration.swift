// Typed reading of a config.json, where every complaint names file, key and value.

internal import Foundation
internal import JSON

/// The keys of a config.json, or of an object inside it.
///
/// A null stands for absence where transformers takes one (the `optional...` methods, `strings`, `object`); elsewhere it is refused as any other value of a
/// wrong type.
struct Configuration {
    /// No extent of a model comes near this; bounding them keeps every product of a few of them within 64 bits.
    static let largestCount = 1 << 24
    /// Blocks are held as a list, which a mistaken number must not make endless.
    private static let largestBlockCount = 1 << 14

    let source: String
    private let prefix: String
    private let values: [String: JSONValue]
    /// What may be asked for; nil: anything.
    private let readable: Set<String>?
    /// The names of the checkpoint's tensors where they are known: some families have several forms of files.
    let tensors: Set<String>

    /// - Parameter readable: the keys that may be asked for: asking for another is an error of the code, so that no family reads a key that its table lacks.
    init(_ data: Data, source: String, readable: Set<String>? = nil, tensors: Set<String> = []) throws(ArchitectureError) {
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
        self.readable = readable
        self.tensors = tensors
        prefix = ""
    }

    private init(source: String, prefix: String, values: [String: JSONValue], readable: Set<String>?, tensors: Set<String>) {
        self.source = source
        self.prefix = prefix
        self.values = values
        self.readable = readable
        self.tensors = tensors
    }

    /// The same keys, of which only some may be asked for.
    func limited(to readable: Set<String>) -> Configuration {
        Configuration(source: source, prefix: prefix, values: values, readable: readable, tensors: tensors)
    }

    /// The same keys, one of them as another object has it, if it has it.
    func taking(_ key: String, from other: Configuration) -> Configuration {
        guard let value = other.values[key] else { return self }
        return Configuration(source: source, prefix: prefix, values: values.merging([key: value]) { _, new in new }, readable: readable, tensors: tensors)
    }

    /// All keys that are there.
    var keys: Dictionary<String, JSONValue>.Keys { values.keys }

    /// Whether the key is there, be it with a null.
    func has(_ key: String) throws(ArchitectureError) -> Bool { try value(key) != nil }

    /// Whether the key is there with the value null: for a few keys that means "none", and absence a default.
    func isNull(_ key: String) throws(ArchitectureError) -> Bool { if case .null? = try value(key) { true } else { false } }

    /// A whole number from 1 to `largestCount`.
    func count(_ key: String, default fallback: Int? = nil) throws(ArchitectureError) -> Int {
        guard let value = try value(key) else { return try required(fallback, key) }
        guard let count = Self.whole(value), (1...Self.largestCount).contains(count) else {
            throw invalid(key, "a whole number from 1 to \(Self.largestCount)")
        }
        return count
    }

    /// A whole number from 1 to `largestCount`; nil for a null, and for an absent key where there is no default.
    func optionalCount(_ key: String, default fallback: Int? = nil) throws(ArchitectureError) -> Int? {
        if try isNull(key) { return nil }
        return try has(key) ? try count(key) : fallback
    }

    /// The number of blocks.
    func blockCount(_ key: String) throws(ArchitectureError) -> Int {
        let found = try count(key)
        guard found <= Self.largestBlockCount else { throw invalid(key, "a whole number from 1 to \(Self.largestBlockCount)") }
        return found
    }

    /// A whole number from 0 to `largestCount`.
    func index(_ key: String, default fallback: Int? = nil) throws(ArchitectureError) -> Int {
        guard let value = try value(key) else { return try required(fallback, key) }
        guard let index = Self.whole(value), (0...Self.largestCount).contains(index) else {
            throw invalid(key, "a whole number from 0 to \(Self.largestCount)")
        }
        return index
    }

    /// A finite number above zero.
    func positive(_ key: String, default fallback: Double? = nil) throws(ArchitectureError) -> Double {
        guard let value = try value(key) else { return try required(fallback, key) }
        guard let number = Self.number(value), number > 0 else { throw invalid(key, "a number above 0") }
        return number
    }

    /// A finite number that is not below zero.
    func notNegative(_ key: String, default fallback: Double? = nil) throws(ArchitectureError) -> Double {
        guard let value = try value(key) else { return try required(fallback, key) }
        guard let number = Self.number(value), number >= 0 else { throw invalid(key, "a number of at least 0") }
        return number
    }

    /// A finite number that is not below zero, if the key is there.
    func optionalNotNegative(_ key: String) throws(ArchitectureError) -> Double? {
        try present(key) == nil ? nil : try notNegative(key)
    }

    func flag(_ key: String, default fallback: Bool) throws(ArchitectureError) -> Bool {
        guard let value = try value(key) else { return fallback }
        guard let flag = value.boolean else { throw invalid(key, "true or false") }
        return flag
    }

    func string(_ key: String, default fallback: String? = nil) throws(ArchitectureError) -> String {
        guard let value = try value(key) else { return try required(fallback, key) }
        guard let string = value.string else { throw invalid(key, "a string") }
        return string
    }

    func strings(_ key: String) throws(ArchitectureError) -> [String]? {
        guard let value = try present(key) else { return nil }
        guard let elements = value.array else { throw invalid(key, "an array of strings") }
        var strings: [String] = []
        for element in elements {
            guard let string = element.string else { throw invalid(key, "an array of strings") }
            strings.append(string)
        }
        return strings
    }

    /// Whole numbers from 0 to `largestCount`.
    func indices(_ key: String) throws(ArchitectureError) -> [Int]? {
        guard let value = try present(key) else { return nil }
        guard let elements = value.array else { throw invalid(key, "an array of whole numbers") }
        var indices: [Int] = []
        for element in elements {
            guard let index = Self.whole(element), (0...Self.largestCount).contains(index) else { throw invalid(key, "an array of whole numbers from 0 on") }
            indices.append(index)
        }
        return indices
    }

    /// Finite numbers above zero; never none.
    func positives(_ key: String) throws(ArchitectureError) -> [Double] {
        guard let value = try value(key) else { throw .missing(source: source, key: prefix + key) }
        let numbers = value.array?.compactMap(Self.number).filter { $0 > 0 } ?? []
        guard !numbers.isEmpty, numbers.count == value.array?.count else { throw invalid(key, "an array of numbers above 0") }
        return numbers
    }

    func object(_ key: String) throws(ArchitectureError) -> Configuration? {
        guard let value = try present(key) else { return nil }
        guard let members = value.object else { throw invalid(key, "an object") }
        return Configuration(source: source, prefix: prefix + key + ".", values: Dictionary(uniqueKeysWithValues: members), readable: nil, tensors: tensors)
    }

    /// Whether the value is an object; nil without the key.
    func isObject(_ key: String) -> Bool? { values[key].map { $0.object != nil } }

    /// Refuses a switch of the family that the forward pass does not implement.
    func require(_ key: String, _ needed: Bool) throws(ArchitectureError) {
        guard try flag(key, default: needed) == needed else { throw unsupported(key, "\(needed)") }
    }

    /// Refuses a key whatever it says, but for a null.
    func refuse(_ key: String) throws(ArchitectureError) {
        guard try present(key) == nil else { throw unsupported(key, "no such key") }
    }

    func invalid(_ key: String, _ expected: String) -> ArchitectureError {
        .invalid(source: source, key: prefix + key, found: text(key), expected: expected)
    }

    func unsupported(_ key: String, _ supported: String) -> ArchitectureError {
        .unsupported(source: source, key: prefix + key, found: text(key), supported: supported)
    }

    private func value(_ key: String) throws(ArchitectureError) -> JSONValue? {
        if let readable, !readable.contains(key) { throw .undeclared(source: source, key: prefix + key) }
        return values[key]
    }

    /// The value, if it is there and not null.
    private func present(_ key: String) throws(ArchitectureError) -> JSONValue? {
        try isNull(key) ? nil : try value(key)
    }

    private static func number(_ value: JSONValue) -> Double? {
        switch value {
        case .integer(let integer): Double(integer)
        case .number(let double) where double.isFinite: double
        default: nil
        }
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
