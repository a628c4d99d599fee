// From one on-disk format to another that holds the same codes; the files are spread over the ranks.

internal import Compression
internal import Foundation
internal import Glibc
public import MessagePassing
internal import Packing
public import Recipes
internal import Safetensors
internal import Sharding

/// What a conversion wrote.
public struct ConversionReport: Codable, Sendable {
    public var from: String
    public var to: String
    public var linears: Int
    public var files: Int
    public var bytes: Int
}

/// Writes a compressed checkpoint anew in another format: codes, scales and zero points stay what they are, exactly.
///
/// Memory is bounded by one tensor. Files keep their names; each is written whole or not at all, and config.json comes last.
public struct Conversion {
    private let model: Model
    private let packed: PackedCheckpoint
    private let plan: ConversionPlan
    private let format: OutputFormat
    private let work: WorkDirectory
    private let world: Communicator

    /// Opens the source and checks that the format can carry every linear.
    ///
    /// - Throws: an `AgreedFailure` with exit code 65 that names the first linear which the format cannot carry.
    public init(_ directory: String, to format: OutputFormat, output: String, reading: WeightReading, world: Communicator) throws {
        let model = try Model(path: directory, reading: reading, world: world)
        self.model = model
        self.format = format
        self.world = world
        work = WorkDirectory(output: output)
        guard let packed = model.quantization else {
            throw AgreedFailure(rank: 0, exitCode: 65, description: "\(directory) is dense; `cleave compress` makes a compressed checkpoint of it")
        }
        self.packed = packed
        plan = try world.agreed { () throws in try ConversionPlan(model, packed, to: format) }
    }

    /// - Throws: an `AgreedFailure` with exit code 73 when the output directory holds something else, 65 when the format cannot hold a number.
    public func run() throws -> ConversionReport {
        // Only the lock was in it; and nothing in the output, when the conversion was refused.
        defer { if world.isCoordinator { for directory in [work.path, work.output] { rmdir(directory) } } }
        return try runLocked()
    }

    private func runLocked() throws -> ConversionReport {
        var lock: RunLock?
        try world.onCoordinator(exitCode: exitCode) { lock = try enter() }
        let source = try provenance()
        let assignment = Assignment(ranks: world.size)
        let own = try world.together(exitCode: exitCode) { () throws in
            try plan.files.enumerated().filter { assignment.writer(ofShard: $0.offset) == world.rank }.map { try write($0.element) }
        }
        let gathered = try world.gather([UInt8](JSONEncoder().encode(own)))
        let report = try world.fromCoordinator(exitCode: exitCode) {
            let written = try gathered.flatMap { try JSONDecoder().decode([Manifest.File].self, from: Data($0)) }
            let files = try complete(written.sorted { $0.name < $1.name }, source)
            return ConversionReport(
                from: packed.reader.name, to: format.rawValue, linears: plan.linears.count, files: files.count, bytes: files.reduce(0) { $0 + $1.bytes })
        }
        withExtendedLifetime(lock) {}
        return report
    }

    /// Makes the output directory, locks it, and takes away what a killed conversion left half written.
    private func enter() throws -> RunLock {
        let exists = FileManager.default.fileExists(atPath:)
        guard !exists(work.output + "/config.json"), !exists(work.recipe) else {
            throw PipelineError(.cannotWrite, "\(work.output) holds a checkpoint or an unfinished run; give another output directory")
        }
        do {
            try FileManager.default.createDirectory(atPath: work.path, withIntermediateDirectories: true)
        } catch {
            throw PipelineError(.cannotWrite, "cannot make the output directory \(work.output): \(error.localizedDescription)")
        }
        let lock = try RunLock(path: work.lock)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: work.output)) ?? [] where AtomicFile.isTemporary(name) {
            unlink(work.output + "/" + name)
        }
        return lock
    }

    /// The source's manifest, whose account of how the codes were made still holds; one that names the source's files where there is none.
    private func provenance() throws -> Manifest {
        let known = try world.fromCoordinator(exitCode: exitCode) {
            FileManager.default.fileExists(atPath: WorkDirectory(output: model.path).manifest) ? try Manifest.read(model.path) : nil
        }
        if let known { return known }
        return Manifest(
            cleave: cleaveVersion, format: format.rawValue, source: try SourceFiles(model, known: nil, world: world).entries, linears: [:], tensors: [:], files: [])
    }

    private func write(_ file: ConversionPlan.File) throws -> Manifest.File {
        let writer = try SafetensorsWriter(path: work.output + "/" + file.name, tensors: file.tensors, metadata: file.metadata)
        do {
            for entry in writer.entries {
                guard case .linear(let index)? = plan.origins[entry.name] else {
                    try model.checkpoint.copy(entry.description, to: writer)
                    continue
                }
                let linear = plan.linears[index]
                try plan.format.write(entry.name, of: linear.target, tile: { try tile(linear, $0) }) { try writer.append($0, to: entry.name) }
            }
            let written = try writer.finish()
            return Manifest.File(name: file.name, bytes: written.byteCount, xxh3: written.checksum)
        } catch {
            writer.abandon()
            throw error
        }
    }

    private func tile(_ linear: ConvertedLinear, _ index: Int) throws -> EncodedTile {
        let (name, wanted) = (linear.target.name, linear.target.tiles[index].options)
        let tile = try packed.tile(name, rows: linear.tiles[index], linear.options, linear.shape, model.checkpoint)
        if let scale = tile.firstScale(notExactIn: wanted.scaleType) {
            throw PipelineError(
                .badInput,
                "\(name): the scale \(scale.value) of row \(linear.tiles[index].lowerBound + scale.row), group \(scale.group), is no \(wanted.scaleType.rawValue) "
                    + "number, and format \(format.rawValue) stores it as one for this model; `--format dense` holds what clients compute")
        }
        return tile.layout.options == wanted ? tile : tile.relabelled(wanted)
    }

    // MARK: - Everything else

    private func complete(_ shards: [Manifest.File], _ source: Manifest) throws -> [Manifest.File] {
        var files = shards
        for name in try SourceFiles.companions(model.path) {
            guard let data = FileManager.default.contents(atPath: model.path + "/" + name) else {
                throw PipelineError(.missingInput, "cannot read \(model.path)/\(name)")
            }
            files.append(try write([UInt8](data), name))
        }
        if plan.files.map(\.name) != [ShardIndex.singleFileName] {
            let map = Dictionary(uniqueKeysWithValues: plan.files.flatMap { file in file.tensors.map { ($0.name, file.name) } })
            let total = plan.files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } }
            let written = try ShardIndex(weightMap: map).write(to: work.output + "/" + ShardIndex.fileName, totalByteCount: total)
            files.append(Manifest.File(name: ShardIndex.fileName, bytes: written.byteCount, xxh3: written.checksum))
        }
        let linears = plan.linears.map(\.target)
        for companion in try plan.format.companions(linears, ignored: plan.ignored) { files.append(try write(Array(companion.text.utf8), companion.name)) }
        let configuration = Array(try configuration(linears).utf8)
        files.append(Manifest.File(name: "config.json", bytes: configuration.count, xxh3: configuration.withUnsafeBytes { Checksum.of($0) }))
        _ = try AtomicFile.write(manifest(source, files).sealedJSON(pretty: true), to: work.manifest)
        _ = try AtomicFile.write(configuration, to: work.output + "/config.json")
        return files
    }

    private func write(_ bytes: [UInt8], _ name: String) throws -> Manifest.File {
        let written = try AtomicFile.write(bytes, to: work.output + "/" + name)
        return Manifest.File(name: name, bytes: written.byteCount, xxh3: written.checksum)
    }

    private func configuration(_ linears: [PackedLinear]) throws -> String {
        guard let value = JSONValue(parsing: model.configuration)?.removing("quantization_config") else {
            throw PipelineError(.badInput, "\(model.path)/config.json is not valid JSON")
        }
        guard let quantization = try plan.format.configuration(linears, ignored: plan.ignored) else { return value.text() }
        return value.setting("quantization_config", quantization).text()
    }

    private func manifest(_ source: Manifest, _ files: [Manifest.File]) -> Manifest {
        var manifest = source
        manifest.format = format.rawValue
        manifest.files = files
        manifest.tensors = [:]
        for file in plan.files {
            for tensor in file.tensors { manifest.tensors[tensor.name] = Manifest.Tensor(type: tensor.type.rawValue, shape: tensor.shape, file: file.name) }
        }
        return manifest
    }
}

extension Checkpoint {
    /// Copies a tensor in pieces.
    func copy(_ tensor: TensorDescription, to writer: SafetensorsWriter) throws {
        let piece = 8 << 20  // bytes at a time
        for start in stride(from: 0, to: tensor.byteCount, by: piece) {
            try withBytes(of: tensor.name, bytes: start..<min(start + piece, tensor.byteCount)) { try writer.append($0, to: tensor.name) }
        }
    }
}
