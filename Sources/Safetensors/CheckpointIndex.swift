// Every tensor of a checkpoint directory: which file, bytes, type and shape. Made once, sent to other processes.

/// The tensors of a checkpoint and where their data lies.
///
/// Making one reads the header of every shard. It is `Codable`, so that one process can do this and send the result to
/// the others, which then open only the files they need.
public struct CheckpointIndex: Sendable, Equatable {
    public struct File: Sendable, Equatable, Codable {
        /// Inside the directory.
        public let name: String
        public let byteCount: Int
        public let metadata: [String: String]
    }

    public struct Tensor: Sendable, Equatable {
        /// A place in `files`.
        public let file: Int
        public let description: TensorDescription
        /// Counted from the start of the file.
        public let bytes: Range<Int>
    }

    public let directory: String
    public let files: [File]
    public let tensors: [String: Tensor]

    /// Reads `model.safetensors` if there is one, and `model.safetensors.index.json` with its shards otherwise: the
    /// order in which transformers looks.
    ///
    /// Every file named must exist and be valid, hold every tensor that the index places in it, and no other.
    /// - Throws: `.missing` for the directory or a file; `.malformed` with the file and the rule broken; `.notReadable`
    public init(directory: String) throws(SafetensorsError) {
        let single = FilePath.join(directory, ShardIndex.singleFileName)
        let indexPath = FilePath.join(directory, ShardIndex.fileName)
        if FilePath.exists(single) {
            let file = try SafetensorsFile(path: single, access: .pread)
            self.init(directory: directory, contents: [(ShardIndex.singleFileName, file)])
        } else if FilePath.exists(indexPath) {
            let contents = try Self.readShards(of: ShardIndex(path: indexPath), in: directory, indexPath: indexPath)
            self.init(directory: directory, contents: contents)
        } else {
            let reason =
                FilePath.exists(directory)
                ? "The directory has neither \(ShardIndex.singleFileName) nor \(ShardIndex.fileName)."
                : "The directory does not exist."
            throw SafetensorsError(.missing, path: directory, reason)
        }
    }

    /// Bytes of all tensors' data.
    public var totalByteCount: Int {
        tensors.values.reduce(0) { $0 + $1.bytes.count }
    }

    /// The path of the file at a place in `files`.
    public func path(of file: Int) -> String {
        FilePath.join(directory, files[file].name)
    }

    private init(directory: String, contents: [(name: String, file: SafetensorsFile)]) {
        var tensors: [String: Tensor] = [:]
        for (index, content) in contents.enumerated() {
            for entry in content.file.entries {
                tensors[entry.name] = Tensor(file: index, description: entry.description, bytes: entry.bytes)
            }
        }
        self.directory = directory
        self.files = contents.map { File(name: $0.name, byteCount: $0.file.byteCount, metadata: $0.file.metadata) }
        self.tensors = tensors
    }

    init(directory: String, files: [File], tensors: [String: Tensor]) {
        self.directory = directory
        self.files = files
        self.tensors = tensors
    }
}

// MARK: - Shards

extension CheckpointIndex {
    private static func readShards(
        of index: ShardIndex, in directory: String, indexPath: String
    ) throws(SafetensorsError) -> [(name: String, file: SafetensorsFile)] {
        let names = Set(index.weightMap.values).sorted()
        let missing = names.filter { !FilePath.exists(FilePath.join(directory, $0)) }
        guard missing.isEmpty else {
            throw SafetensorsError(
                .missing, path: indexPath,
                """
                \(missing.count) of the \(names.count) files it names do not exist, the first being \(missing[0]). \
                Fetch the checkpoint again.
                """)
        }
        var found: Set<String> = []
        var contents: [(name: String, file: SafetensorsFile)] = []
        for name in names {
            let file = try SafetensorsFile(path: FilePath.join(directory, name), access: .pread)
            for entry in file.entries {
                try check(entry.name, in: name, against: index, path: file.path)
                found.insert(entry.name)
            }
            contents.append((name, file))
        }
        let lost = index.weightMap.keys.filter { !found.contains($0) }.min()
        if let lost, let file = index.weightMap[lost] {
            throw SafetensorsError(
                .malformed, path: FilePath.join(directory, file),
                "The file lacks tensor \"\(lost)\", which \(ShardIndex.fileName) places in it.")
        }
        return contents
    }

    private static func check(
        _ tensor: String, in file: String, against index: ShardIndex, path: String
    ) throws(SafetensorsError) {
        guard let place = index.weightMap[tensor] else {
            throw SafetensorsError(
                .malformed, path: path,
                "The file holds tensor \"\(tensor)\", which \(ShardIndex.fileName) does not list.")
        }
        guard place == file else {
            throw SafetensorsError(
                .malformed, path: path,
                "The file holds tensor \"\(tensor)\", which \(ShardIndex.fileName) places in \(place).")
        }
    }
}
