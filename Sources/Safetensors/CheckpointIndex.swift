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
        /// When the header was read; nil for a file that is planned.
        public let stamp: FileStamp?

        public init(name: String, byteCount: Int, metadata: [String: String], stamp: FileStamp?) {
            self.name = name
            self.byteCount = byteCount
            self.metadata = metadata
            self.stamp = stamp
        }
    }

    public struct Tensor: Sendable, Equatable {
        /// A place in `files`.
        public let file: Int
        public let description: TensorDescription
        /// Counted from the start of the file.
        public let bytes: Range<Int>

        public init(file: Int, description: TensorDescription, bytes: Range<Int>) {
            self.file = file
            self.description = description
            self.bytes = bytes
        }
    }

    public let directory: String
    public let files: [File]
    public let tensors: [String: Tensor]
    /// Where `model.safetensors.index.json` and the files disagree: sentences.
    public let remarks: [String]

    /// Reads `model.safetensors` if there is one, and `model.safetensors.index.json` with its shards otherwise: the
    /// order in which transformers looks.
    ///
    /// Every file named must exist and be valid. What they hold counts, as it does for transformers: the index only says which files they are. Of a tensor in
    /// two files the last file's counts, in the order of names. Where the index says otherwise, `remarks` does.
    /// - Throws: `.missing` for the directory or a file, saying what is there instead; `.notPermitted`; `.malformed` with the file and the rule
    ///   broken; `.notReadable`
    public init(directory: String) throws(SafetensorsError) {
        let single = FilePath.join(directory, ShardIndex.singleFileName)
        let indexPath = FilePath.join(directory, ShardIndex.fileName)
        if FilePath.exists(single) {
            let file = try SafetensorsFile(path: single, access: .pread)
            self.init(directory: directory, contents: [(ShardIndex.singleFileName, file)])
        } else if FilePath.exists(indexPath) {
            let index = try ShardIndex(path: indexPath)
            let contents = try Self.readShards(of: index, in: directory, indexPath: indexPath)
            self.init(directory: directory, contents: contents, remarks: Self.disagreements(index, contents))
        } else {
            throw Self.noWeights(in: directory)
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

    private init(directory: String, contents: [(name: String, file: SafetensorsFile)], remarks: [String] = []) {
        var tensors: [String: Tensor] = [:]
        for (index, content) in contents.enumerated() {
            for entry in content.file.entries {
                tensors[entry.name] = Tensor(file: index, description: entry.description, bytes: entry.bytes)
            }
        }
        self.directory = directory
        self.files = contents.map { File(name: $0.name, byteCount: $0.file.byteCount, metadata: $0.file.metadata, stamp: $0.file.stamp) }
        self.tensors = tensors
        self.remarks = remarks
    }

    /// Of files in another format, whose heads somebody else has read.
    public init(directory: String, files: [File], tensors: [String: Tensor], remarks: [String] = []) {
        self.directory = directory
        self.files = files
        self.tensors = tensors
        self.remarks = remarks
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
        var contents: [(name: String, file: SafetensorsFile)] = []
        for name in names { contents.append((name, try SafetensorsFile(path: FilePath.join(directory, name), access: .pread))) }
        return contents
    }

    /// What an index says otherwise than the files it names, each kind with its count and the first name.
    private static func disagreements(_ index: ShardIndex, _ contents: [(name: String, file: SafetensorsFile)]) -> [String] {
        var (unlisted, elsewhere, twice): ([String], [String], [String]) = ([], [], [])
        var found: Set<String> = []
        for (name, file) in contents {
            for entry in file.entries {
                if !found.insert(entry.name).inserted {
                    twice.append(entry.name)
                } else if let place = index.weightMap[entry.name] {
                    if place != name { elsewhere.append(entry.name) }
                } else {
                    unlisted.append(entry.name)
                }
            }
        }
        // A tensor in two files is in the one that the index names, too.
        let misplaced = Set(elsewhere).subtracting(twice)
        let kinds = [
            (unlisted, "does not list tensors of its files, which are taken all the same"),
            (index.weightMap.keys.filter { !found.contains($0) }, "lists tensors that are in none of its files"),
            (Array(misplaced), "lists tensors that are in another of its files, where they are read"),
            (twice, "has files with the same tensor, of which the last is read"),
        ]
        return kinds.filter { !$0.0.isEmpty }.map { names, what in
            "\(ShardIndex.fileName) \(what) (\(names.count)): \(names.sorted().prefix(3).joined(separator: ", "))" + (names.count > 3 ? ", ..." : "")
        }
    }
}
