// What comes after the files of tensors: companions, index, manifest, and config.json last.

internal import Failures
internal import Foundation
internal import GGUF
package import JSON
package import MessagePassing
package import Models
internal import Packing
internal import Safetensors

/// Makes a directory of shards a checkpoint. `config.json` comes last, so an unfinished directory never looks loadable.
package struct CheckpointCompletion {
    let content: CheckpointContent
    /// What the checkpoint is made from: its companions are copied, and its config.json is told of the format.
    let source: Model
    let output: WorkDirectory
    let world: Communicator
    /// In place of what follows from the source's config.json and the format; nil: that.
    private let changedConfiguration: JSONValue?

    package init(content: CheckpointContent, source: Model, output: WorkDirectory, world: Communicator, changedConfiguration: JSONValue? = nil) {
        (self.content, self.source, self.output, self.world) = (content, source, output, world)
        self.changedConfiguration = changedConfiguration
    }

    /// The names of all files of the checkpoint.
    package func fileNames() throws -> [String] {
        let index = isSharded ? [ShardIndex.fileName] : []
        let companions = try content.format.companions(content.linears, ignored: content.ignored).map(\.name)
        return try content.files.map(\.name) + SourceFiles.companions(source.path) + index + companions + [Manifest.fileName, "config.json"]
    }

    /// - Parameters:
    ///   - shards: the files that this rank wrote.
    ///   - manifest: without tensors and files.
    ///   - isSound: called when all but the last files are there; throws when the source is no longer what it was.
    /// - Returns: all files, on every rank.
    package func run(shards: [Manifest.File], manifest: Manifest, isSound: () throws -> Void) throws -> [Manifest.File] {
        let gathered = try world.gather([UInt8](JSONEncoder().encode(shards)))
        return try world.fromCoordinator(exitCode: exitCode) {
            let written = try gathered.flatMap { try JSONDecoder().decode([Manifest.File].self, from: Data($0)) }
            return try complete(written.sorted { $0.name < $1.name }, manifest, isSound)
        }
    }

    private func complete(_ shards: [Manifest.File], _ manifest: Manifest, _ isSound: () throws -> Void) throws -> [Manifest.File] {
        var files = shards
        for name in try SourceFiles.companions(source.path) { files.append(try copyCompanion(name)) }
        if let index = try writeIndex() { files.append(index) }
        for companion in try content.format.companions(content.linears, ignored: content.ignored) {
            files.append(try write(Array(companion.text.utf8), companion.name))
        }
        let configuration = Array(try configuration().utf8)
        files.append(Manifest.File(name: "config.json", bytes: configuration.count, xxh3: configuration.withUnsafeBytes { Checksum.of($0) }))
        var manifest = manifest
        manifest.files = files
        manifest.tensors = tensors
        try isSound()
        _ = try AtomicFile.write(manifest.sealedJSON(pretty: true), to: output.manifest)
        _ = try write(configuration, "config.json")
        return files
    }

    private func copyCompanion(_ name: String) throws -> Manifest.File {
        try write(InputFile.bytes(of: source.path + "/" + name), name)
    }

    /// A single file of the usual name needs no index, and files of GGUF have none.
    private var isSharded: Bool { content.gguf == nil && content.files.map(\.name) != [ShardIndex.singleFileName] }

    /// - Returns: nil where no index is needed.
    private func writeIndex() throws -> Manifest.File? {
        guard isSharded else { return nil }
        let map = Dictionary(uniqueKeysWithValues: content.files.flatMap { file in file.tensors.map { ($0.name, file.name) } })
        let written = try ShardIndex(weightMap: map).write(to: output.output + "/" + ShardIndex.fileName, totalByteCount: content.byteCount)
        return Manifest.File(ShardIndex.fileName, written)
    }

    private func write(_ bytes: [UInt8], _ name: String) throws -> Manifest.File {
        Manifest.File(name, try AtomicFile.write(bytes, to: output.output + "/" + name))
    }

    /// The source's config.json with what clients need to know of the format.
    private func configuration() throws -> String {
        if let changedConfiguration { return changedConfiguration.text() }
        var value = try JSONValue(configuration: source.configuration, of: source.path)
        // Clients differ in which they take when config.json ties the head to the embedding and the file has another.
        if source.isUntied { value = value.setting("tie_word_embeddings", false) }
        // What it says of the source's format no longer holds; a null holds for any.
        value = WeightReaders.removed(from: value)
        if let type = content.format.computeType { value = WeightReaders.computing(in: type, value) }
        if var quantization = try content.format.configuration(content.linears, ignored: content.ignored) {
            if let cache = content.cache { quantization = quantization.setting("kv_cache_scheme", cache.scheme) }
            value = value.setting(WeightReaders.keys[0], quantization)
        }
        return value.text()
    }

    private var tensors: [String: Manifest.Tensor] {
        var tensors: [String: Manifest.Tensor] = [:]
        for file in content.files {
            for tensor in file.tensors {
                let blocks = content.gguf?.tensors[tensor.name]
                tensors[tensor.name] = Manifest.Tensor(type: blocks?.type.name ?? tensor.type.rawValue, shape: blocks?.shape ?? tensor.shape, file: file.name)
            }
        }
        return tensors
    }
}

extension Manifest.File {
    init(_ name: String, _ written: WrittenFile) {
        self.init(name: name, bytes: written.byteCount, xxh3: written.checksum)
    }
}
