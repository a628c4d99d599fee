// model.safetensors.index.json, which says in which file of a checkpoint each tensor lies: reading and writing it.

internal import JSON

/// The `weight_map` of a sharded checkpoint.
public struct ShardIndex: Sendable, Equatable {
    public static let fileName = "model.safetensors.index.json"
    /// The one file of a checkpoint that is not sharded.
    public static let singleFileName = "model.safetensors"

    /// Tensor name to file name.
    public let weightMap: [String: String]

    public init(weightMap: [String: String]) {
        self.weightMap = weightMap
    }

    /// Reads an index and checks its form, not the files it names.
    /// - Throws: `.missing`, `.notReadable`; `.malformed` for invalid JSON, tensors given twice, a missing or empty
    ///   `weight_map`, or file names that lead out of the directory.
    public init(path: String) throws(SafetensorsError) {
        let json = try InputFile.json(of: path)
        let weightMap: [String: String]?
        do {
            weightMap = try Self.parse(json)
        } catch {
            throw SafetensorsError(
                .malformed, path: path, "The index is invalid at byte \(error.offset): \(error.reason).")
        }
        guard let weightMap, !weightMap.isEmpty else {
            throw SafetensorsError(.malformed, path: path, "The index has no weight_map with tensors in it.")
        }
        self.weightMap = weightMap
    }

    /// The name that readers expect of shard `number` of `count`, counted from 1.
    public static func shardName(_ number: Int, of count: Int) -> String {
        "model-\(fiveDigits(number))-of-\(fiveDigits(count)).safetensors"
    }

    /// Writes the index atomically, in the form that transformers writes (sorted keys, two spaces).
    /// - Parameter totalByteCount: bytes of all tensors' data, for `metadata.total_size`
    /// - Throws: `.diskFull`, `.notWritable`
    @discardableResult
    public func write(to path: String, totalByteCount: Int) throws(SafetensorsError) -> WrittenFile {
        let members = weightMap.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            .map { "    \(JSONText.quoted($0.key)): \(JSONText.quoted($0.value))" }
        let text = """
            {
              "metadata": {
                "total_size": \(totalByteCount)
              },
              "weight_map": {
            \(members.joined(separator: ",\n"))
              }
            }

            """
        return try AtomicFile.write(text, to: path)
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    private static func parse(_ json: [UInt8]) throws(JSONError) -> [String: String]? {
        var scanner = JSONScanner(json)
        var weightMap: [String: String]?
        try scanner.object { (scanner, key) throws(JSONError) in
            guard key == "weight_map" else { return try scanner.skipValue() }
            var map: [String: String] = [:]
            try scanner.object { (scanner, tensor) throws(JSONError) in
                _ = scanner.peek()
                let start = scanner.offset
                let file = try scanner.string()
                guard FilePath.isName(file) else {
                    throw JSONError(offset: start, reason: "\"\(file)\" is not the name of a file beside the index")
                }
                map[tensor] = file
            }
            weightMap = map
        }
        try scanner.end()
        return weightMap
    }
}
