// What a run was made from: the source's files by checksum, so that a run goes on only with what it began with.

internal import Foundation
internal import Glibc
internal import MessagePassing
internal import Safetensors

/// The files of a model directory that a result depends on.
///
/// Reading a large model once more at every resume would cost more than it shows, so a file whose size and times of change are as they were counts
/// as unchanged; any other is read again.
struct SourceFiles: Codable, Equatable, Sendable {
    struct File: Codable, Equatable, Sendable {
        var bytes: Int
        /// Nanoseconds since 1970: of the last change of the content, and of the inode, which no program can set back.
        var modified: Int
        var changed: Int
        /// XXH3 of the XXH3 of each piece, 16 hexadecimal digits.
        var digest: String
    }

    /// Bytes that are summed at once: a large file is spread over the ranks.
    static let pieceBytes = 16 << 20

    private(set) var files: [String: File]

    /// One checksum of all names, sizes and contents.
    var digest: String {
        let text = files.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.bytes) \($0.value.digest)\n" }.joined()
        return Array(text.utf8).withUnsafeBytes { Checksum.of($0) }
    }

    /// As the manifest names them.
    var entries: [String: Manifest.Source] { files.mapValues { Manifest.Source(bytes: $0.bytes, digest: $0.digest) } }

    /// The small files that clients read beside the weights: tokenizer, chat template, generation defaults, licence, model code.
    static func companions(_ directory: String) throws -> [String] {
        let known = [
            "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
            "merges.txt", "generation_config.json", "preprocessor_config.json", "chat_template.jinja", "chat_template.json", "LICENSE", "LICENSE.txt",
            "LICENSE.md", "NOTICE",
        ]
        let names = try FileManager.default.contentsOfDirectory(atPath: directory)
        return names.filter { known.contains($0) || $0.hasSuffix(".py") || $0.hasSuffix(".tiktoken") }.sorted()
    }

    /// Examines the files of a model; those that `known` cannot vouch for are read, each by all ranks together.
    init(_ model: Model, known: SourceFiles?, world: Communicator) throws {
        let names = model.checkpoint.index.files.map(\.name)
        files = try world.fromCoordinator(exitCode: exitCode) {
            let all = try ["config.json"] + names + Self.companions(model.path)
            return try Dictionary(uniqueKeysWithValues: Set(all).map { name in (name, try Self.examine(model.path + "/" + name, known?.files[name])) })
        }
        for (name, file) in files.sorted(by: { $0.key < $1.key }) where file.digest.isEmpty {
            files[name]?.digest = try Self.checksum(model.path + "/" + name, bytes: file.bytes, world)
        }
    }

    /// A file's size and times, with the digest that is known of just those.
    private static func examine(_ path: String, _ known: File?) throws -> File {
        var status = stat()
        guard stat(path, &status) == 0 else { throw PipelineError(.missingInput, "cannot examine \(path): \(String(cString: strerror(errno)))") }
        let found = File(bytes: status.st_size, modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim), digest: "")
        guard let known, (known.bytes, known.modified, known.changed) == (found.bytes, found.modified, found.changed) else { return found }
        return known
    }

    private static func nanoseconds(_ time: timespec) -> Int { time.tv_sec * 1_000_000_000 + time.tv_nsec }

    private static func checksum(_ path: String, bytes: Int, _ world: Communicator) throws -> String {
        let starts = Array(stride(from: 0, to: bytes, by: pieceBytes))
        let own = try world.together(exitCode: exitCode) { () throws -> [Int] in
            var digests = [Int](repeating: 0, count: starts.count)
            for piece in stride(from: world.rank, to: starts.count, by: world.size) {
                let digest = try Checksum.ofFile(path, bytes: starts[piece]..<min(starts[piece] + pieceBytes, bytes))
                digests[piece] = Int(truncatingIfNeeded: digest)
            }
            return digests
        }
        var digests = own
        // Each piece stands alone in its place, so the sum gathers them.
        try world.allReduceSum(&digests)
        return digests.map(\.littleEndian).withUnsafeBytes { Checksum.of($0) }
    }

    /// What differs in content, in words; empty when nothing does.
    func differences(from earlier: SourceFiles) -> [String] {
        Set(files.keys).union(earlier.files.keys).sorted().compactMap { name in
            switch (earlier.files[name], files[name]) {
            case (nil, _): "\(name) is new"
            case (_, nil): "\(name) is gone"
            case (let old?, let new?) where old.bytes != new.bytes: "\(name) had \(old.bytes) bytes and has \(new.bytes)"
            case (let old?, let new?): old.digest == new.digest ? nil : "\(name) has other bytes"
            }
        }
    }
}
