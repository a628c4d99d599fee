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

    /// The value of `key` where there is one file alone: a path, or a mapping without a weight.
    static func one(_ mapping: YAMLMapping, _ key: String) throws(RecipeError) -> CalibrationSource {
        guard let node = mapping.node(key) else { throw mapping.missing(key) }
        return try CalibrationSource(node, mapping, key, path: "\(mapping.path).\(key)", keys: keys.filter { $0 != "weight" })
    }

    private init(_ node: Node, _ mapping: YAMLMapping, _ key: String, path: String, keys: [String] = keys) throws(RecipeError) {
        if let scalar = node.scalar {
            self.init(path: scalar.string)
        } else if node.mapping != nil {
            let own = try YAMLMapping(node, file: mapping.file, path: path, keys: keys)
            self.init(path: try own.required("path"), field: try own.string("field"), weight: try own.number("weight", in: 1e-6...1e6) ?? 1)
        } else {
            throw mapping.error(key, "`\(path)` must be a path, or a mapping with `path`")
        }
    }
}
