// Strict reading of a YAML mapping: typed values, and an error for every key that nobody asked for.

internal import Compression
internal import Yams

/// One YAML mapping of a recipe, with its place for messages.
struct YAMLMapping {
    let file: String
    /// The dotted path of this mapping, empty at the top.
    let path: String
    private let node: Node
    private let entries: [String: Node]

    /// - Parameter keys: every key that may occur.
    init(_ node: Node, file: String, path: String, keys: [String]) throws(RecipeError) {
        self.file = file
        self.path = path
        self.node = node
        guard let mapping = node.mapping else {
            throw Self.error(node, file, "\(path.isEmpty ? "a recipe" : "`\(path)`") must be a mapping of keys to values")
        }
        var entries: [String: Node] = [:]
        for (key, value) in mapping {
            let name = key.string ?? ""
            let full = path.isEmpty ? name : "\(path).\(name)"
            guard keys.contains(name) else {
                let nearest = keys.min { editDistance($0, name) < editDistance($1, name) } ?? ""
                throw Self.error(key, file, "unknown key `\(full)`; the nearest valid key is `\(nearest)` (valid here: \(keys.joined(separator: ", ")))")
            }
            guard entries.updateValue(value, forKey: name) == nil else { throw Self.error(key, file, "key `\(full)` occurs twice") }
        }
        self.entries = entries
    }

    var line: Int? { node.mark?.line }

    func has(_ key: String) -> Bool { entries[key] != nil && !isNull(key) }

    func node(_ key: String) -> Node? { has(key) ? entries[key] : nil }

    /// The mapping under `key`, with the keys that may occur in it.
    func mapping(_ key: String, keys: [String]) throws(RecipeError) -> YAMLMapping? {
        guard let node = node(key) else { return nil }
        return try YAMLMapping(node, file: file, path: path.isEmpty ? key : "\(path).\(key)", keys: keys)
    }

    /// A text that must be there.
    func required(_ key: String) throws(RecipeError) -> String {
        guard let text = try string(key) else { throw missing(key) }
        return text
    }

    func string(_ key: String) throws(RecipeError) -> String? {
        try value(key, "a text") { $0.scalar?.string }
    }

    func boolean(_ key: String) throws(RecipeError) -> Bool? {
        try value(key, "true or false", \.bool)
    }

    func number(_ key: String, in range: ClosedRange<Double>) throws(RecipeError) -> Double? {
        try value(key, "a number from \(range.lowerBound) to \(range.upperBound)") { node in node.decimal.flatMap { range.contains($0) ? $0 : nil } }
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(RecipeError) -> Int? {
        let bound = range.upperBound == .max ? "at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
        return try value(key, "a whole number \(bound)") { node in node.integer.flatMap { range.contains($0) ? $0 : nil } }
    }

    func integer(_ key: String, of choices: [Int]) throws(RecipeError) -> Int? {
        try value(key, "one of \(choices.map(String.init).joined(separator: ", "))") { node in node.integer.flatMap { choices.contains($0) ? $0 : nil } }
    }

    /// - Parameter choices: of bits.
    func width(_ key: String, of choices: [Int]) throws(RecipeError) -> CodeWidth? {
        try value(key, "one of \(choices.map(String.init).joined(separator: ", ")), or ternary") { node in
            if node.scalar?.string == "ternary" { return CodeWidth.ternary }
            return node.integer.flatMap { choices.contains($0) ? CodeWidth.bits($0) : nil }
        }
    }

    /// Different numbers, ascending.
    func integers(_ key: String, of choices: [Int]) throws(RecipeError) -> [Int]? {
        try value(key, "a list of different numbers of \(choices.map(String.init).joined(separator: ", "))") { node in
            guard let numbers = node.sequence?.map(\.integer), !numbers.isEmpty else { return nil }
            let found = Set(numbers.compactMap { $0 }.filter(choices.contains))
            return found.count == numbers.count ? found.sorted() : nil
        }
    }

    func choice<C: RawRepresentable & CaseIterable>(_ key: String, _: C.Type = C.self) throws(RecipeError) -> C? where C.RawValue == String {
        let names = C.allCases.map(\.rawValue)
        return try value(key, "one of \(names.joined(separator: ", "))") { node in
            // A choice between true, false and more takes every spelling of YAML's booleans.
            node.scalar.flatMap { C(rawValue: $0.string) } ?? node.bool.flatMap { C(rawValue: "\($0)") }
        }
    }

    /// A share such as 0.5, or a pattern such as 2:4, which YAML 1.1 would read as a number to the base 60.
    func sparsity(_ key: String) throws(RecipeError) -> Sparsity? {
        try value(key, "a share above 0 and below 1 such as 0.5, or n:m such as 2:4 for n zeros among m neighbours") { node in
            node.scalar.flatMap { Sparsity($0.string) }
        }
    }

    /// A share above 0 and below 1.
    func share(_ key: String) throws(RecipeError) -> Double? {
        try value(key, "a share above 0 and below 1 such as 0.5") { node in node.decimal.flatMap { 0 < $0 && $0 < 1 ? $0 : nil } }
    }

    /// Different shares above 0 and below 1, ascending.
    func shares(_ key: String) throws(RecipeError) -> [Double]? {
        try value(key, "a list of different shares above 0 and below 1") { node in
            guard let shares = node.sequence?.map(\.decimal), !shares.isEmpty else { return nil }
            let found = Set(shares.compactMap { $0 }.filter { 0 < $0 && $0 < 1 })
            return found.count == shares.count ? found.sorted() : nil
        }
    }

    /// A number of bytes: 5GB, 512MiB, 1000000.
    func byteCount(_ key: String) throws(RecipeError) -> Int? {
        try value(key, "a size such as 5GB or 512MiB") { $0.scalar.flatMap { parseByteCount($0.string) } }
    }

    func strings(_ key: String) throws(RecipeError) -> [(text: String, line: Int?)]? {
        try value(key, "a list of texts") { node in
            guard let sequence = node.sequence else { return nil }
            let texts = sequence.compactMap { item in item.scalar.map { ($0.string, item.mark?.line) } }
            return texts.count == sequence.count ? texts : nil
        }
    }

    /// An error at the value of `key`, or at the mapping itself when the key is missing.
    func error(_ key: String, _ message: String) -> RecipeError {
        Self.error(entries[key] ?? node, file, message)
    }

    func missing(_ key: String) -> RecipeError {
        Self.error(node, file, "key `\(path.isEmpty ? key : "\(path).\(key)")` is missing")
    }

    private func value<T>(_ key: String, _ expected: String, _ read: (Node) -> T?) throws(RecipeError) -> T? {
        guard let node = node(key) else { return nil }
        guard let value = read(node) else {
            let found = node.scalar?.string ?? (node.sequence == nil ? "a mapping" : "a list")
            throw error(key, "`\(path.isEmpty ? key : "\(path).\(key)")` must be \(expected), found `\(found)`")
        }
        return value
    }

    private func isNull(_ key: String) -> Bool {
        guard let scalar = entries[key]?.scalar, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "null", "Null", "NULL", "~"].contains(scalar.string)
    }

    static func error(_ node: Node, _ file: String, _ message: String) -> RecipeError {
        RecipeError(place: node.mark.map { "\(file):\($0.line)" } ?? file, message: message)
    }
}

extension Node {
    fileprivate var integer: Int? { isSexagesimal ? nil : int }

    fileprivate var decimal: Double? { isSexagesimal ? nil : float }

    /// YAML 1.1 reads 1:30 as a number to the base 60, of which no recipe has use; Yams traps where one overflows.
    private var isSexagesimal: Bool { scalar?.string.utf8.contains(UInt8(ascii: ":")) == true }
}

/// The number of letters to insert, delete or replace to turn one word into the other (Levenshtein).
func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var previous = Array(0...b.count)
    for (i, letter) in a.enumerated() {
        var current = [i + 1]
        for (j, other) in b.enumerated() {
            current.append(min(previous[j] + (letter == other ? 0 : 1), previous[j + 1] + 1, current[j] + 1))
        }
        previous = current
    }
    return previous[b.count]
}

/// Bytes of `5GB` (decimal), `512MiB` (binary) or a plain number; nil for anything else or below 1.
public func parseByteCount(_ text: String) -> Int? {
    let units: [(String, Double)] = [
        ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12), ("b", 1), ("", 1),
    ]
    let lowered = text.lowercased().filter { $0 != " " }
    guard let (suffix, factor) = units.first(where: { lowered.hasSuffix($0.0) }),
        let number = Double(lowered.dropLast(suffix.count)), number * factor >= 1, number * factor < 0x1p62
    else { return nil }
    return Int(number * factor)
}
