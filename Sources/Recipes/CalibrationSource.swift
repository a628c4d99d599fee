// A file that calibration sequences come from, and its share of them.

internal import Yams

/// A file of text or ids.
public struct CalibrationSource: Sendable, Equatable {
    /// Text, JSON lines or a JSON array, as they are or compressed (.gz, .zst), a Parquet table, or ids: .npy or safetensors (one tensor), int32 or int64, 1-D.
    public var path: String
    /// The field of records, or the column of a table, that holds the text; nil: `text`.
    public var field: String?
    /// Its share of the sequences is this among the weights of all sources.
    public var weight: Double

    package init(path: String, field: String? = nil, weight: Double = 1) {
        self.path = path
        self.field = field
        self.weight = weight
    }
}

extension CalibrationSource {
    private static let keys = ["path", "field", "weight"]

    /// The value of `key`: a path, a mapping, or a list of these.
    static func list(_ mapping: YAMLMapping, _ key: String) throws(RecipeError) -> [CalibrationSource] {
        guard let node = mapping.node(key) else { throw mapping.missing(key) }
        let path = "\(mapping.path).\(key)"
        guard let sequence = node.sequence else { return [try CalibrationSource(node, mapping, key, path: path)] }
        guard !sequence.isEmpty else { throw mapping.error(key, "`\(path)` is an empty list; name a file") }
        var sources: [CalibrationSource] = []
        for (index, item) in sequence.enumerated() { sources.append(try CalibrationSource(item, mapping, key, path: "\(path).\(index)")) }
        return sources
    }

    private init(_ node: Node, _ mapping: YAMLMapping, _ key: String, path: String) throws(RecipeError) {
        if let scalar = node.scalar {
            self.init(path: scalar.string)
        } else if node.mapping != nil {
            let own = try YAMLMapping(node, file: mapping.file, path: path, keys: Self.keys)
            self.init(path: try own.required("path"), field: try own.string("field"), weight: try own.number("weight", in: 1e-6...1e6) ?? 1)
        } else {
            throw mapping.error(key, "`\(path)` must be a path, or a mapping with `path`")
        }
    }
}

extension Calibration {
    /// How many sequences each source gives: its share by weight, the largest remainders rounded up, the earlier of equal ones first.
    public var sequencesOfSources: [Int] {
        let total = sources.reduce(0) { $0 + $1.weight }
        let shares = sources.map { Double(sequences) * $0.weight / total }
        var counts = shares.map { Int($0) }
        let byRemainder = shares.indices.sorted { (shares[$0] - Double(counts[$0]), -$0) > (shares[$1] - Double(counts[$1]), -$1) }
        for index in byRemainder.prefix(max(0, sequences - counts.reduce(0, +))) { counts[index] += 1 }
        return counts
    }
}

extension Calibration {
    /// Its files for a report, each with its number of sequences where they are several.
    public var sourceText: String {
        guard sources.count > 1 else { return sources.first?.path ?? "" }
        return zip(sources, sequencesOfSources).map { "\($0.path) (\($1))" }.joined(separator: ", ")
    }
}
