// What a run was made from: the source's files by checksum, so that a run goes on only with what it began with.

internal import Failures
internal import Foundation
package import MessagePassing
internal import Safetensors
internal import Transformers

/// The files of a model directory that a result depends on.
///
/// Reading a large model once more at every resume would cost more than it shows, so a file whose size and times of change are as they were counts
/// as unchanged; any other is read again.
package struct SourceFiles: Codable, Equatable, Sendable {
    package struct File: Codable, Equatable, Sendable {
        package var bytes: Int
        /// Nanoseconds since 1970: of the last change of the content, and of the inode, which no program can set back.
        var modified: Int
        var changed: Int
        /// XXH3 of the XXH3 of each piece, 16 hexadecimal digits.
        package var digest: String

        var stamp: FileStamp { FileStamp(byteCount: bytes, modified: modified, changed: changed) }

        func has(_ found: FileStamp) -> Bool { stamp == found }
    }

    /// Bytes that are summed at once: a large file is spread over the ranks.
    static let pieceBytes = 16 << 20

    package private(set) var files: [String: File]

    /// One checksum of all names, sizes and contents.
    package var digest: String {
        let text = files.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.bytes) \($0.value.digest)\n" }.joined()
        return Array(text.utf8).withUnsafeBytes { Checksum.of($0) }
    }

    /// The small files that clients read beside the weights: tokenizer, chat template, generation defaults, licence, model code.
    package static func companions(_ directory: String) throws -> [String] {
        let known = [
            "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
            "merges.txt", "generation_config.json", "preprocessor_config.json", "chat_template.jinja", "chat_template.json", "LICENSE", "LICENSE.txt",
            "LICENSE.md", "NOTICE",
        ]
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw PipelineError(.missingInput, "\(directory): the directory may not be listed by this user; change its permissions")
        }
        return names.filter { known.contains($0) || $0.hasSuffix(".py") || $0.hasSuffix(".tiktoken") }.sorted()
    }

    /// Examines the files of a model; those that `known` cannot vouch for are read, each by all ranks together, and their numbers checked.
    package init(_ model: Model, known: SourceFiles?, world: Communicator) throws {
        let names = model.checkpoint.index.files.map(\.name)
        files = try world.fromCoordinator(exitCode: exitCode) {
            let all = try ["config.json"] + names + Self.companions(model.path)
            return try Dictionary(uniqueKeysWithValues: Set(all).map { name in (name, try Self.examine(model.path + "/" + name, known?.files[name])) })
        }
        let check = NumberCheck(model.checkpoint.index, model.architecture, scaled: model.tensors.scaled)
        for (name, file) in files.sorted(by: { $0.key < $1.key }) where file.digest.isEmpty {
            let checked = names.firstIndex(of: name).map { (check, $0) }
            files[name]?.digest = try Self.checksum(model.path + "/" + name, bytes: file.bytes, world, checked)
        }
        // The index of tensors was read before: it must be that of what was summed.
        let examined = self
        try world.onCoordinator(exitCode: exitCode) {
            try model.checkpoint.checkUnchanged()
            try examined.checkUnchanged(in: model.path)
        }
    }

    /// A file's size and times, with the digest that is known of just those.
    private static func examine(_ path: String, _ known: File?) throws -> File {
        let stamp = try FileStamp(path: path)
        if let known, known.has(stamp) { return known }
        return File(bytes: stamp.byteCount, modified: stamp.modified, changed: stamp.changed, digest: "")
    }

    /// Looks at every file's size and times again; the coordinator's task, who took them.
    /// - Throws: `SafetensorsError` (65) naming the first that has changed: what was read of it may be anything.
    package func checkUnchanged(in directory: String) throws {
        for (name, file) in files.sorted(by: { $0.key < $1.key }) {
            let path = directory + "/" + name, found = try FileStamp(path: path)
            guard file.has(found) else { throw file.stamp.changed(to: found, path: path) }
        }
    }

    /// - Parameter checked: a check of the file's numbers, and the file's place in its index.
    static func checksum(_ path: String, bytes: Int, _ world: Communicator, _ checked: (check: NumberCheck, file: Int)?) throws -> String {
        let starts = Array(stride(from: 0, to: bytes, by: pieceBytes))
        var found: Int?
        func examine(_ offset: Int, _ bytes: UnsafeRawBufferPointer) {
            guard let place = checked.flatMap({ $0.check.firstNotFinite(file: $0.file, at: offset, bytes) }) else { return }
            found = min(found ?? place, place)
        }
        let own = try world.together(exitCode: exitCode) { () throws -> [Int] in
            var digests = [Int](repeating: 0, count: starts.count)
            for piece in stride(from: world.rank, to: starts.count, by: world.size) {
                let digest = try Checksum.ofFile(path, bytes: starts[piece]..<min(starts[piece] + pieceBytes, bytes), examine: examine)
                digests[piece] = Int(truncatingIfNeeded: digest)
            }
            for number in checked.map({ $0.check.straddling(stride(from: 0, to: bytes, by: Checksum.pieceBytes), file: $0.file) }) ?? []
            where number.lowerBound / pieceBytes % world.size == world.rank {
                _ = try Checksum.ofFile(path, bytes: number, examine: examine)
            }
            return digests
        }
        if let checked { try checked.check.check(file: checked.file, place: found, world: world) }
        var digests = own
        // Each piece stands alone in its place, so the sum gathers them.
        try world.allReduceSum(&digests)
        return digests.map(\.littleEndian).withUnsafeBytes { Checksum.of($0) }
    }

    /// What differs in content, in words; empty when nothing does.
    package func differences(from earlier: SourceFiles) -> [String] {
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
