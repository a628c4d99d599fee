// From one on-disk format to another that holds the same codes; the files are spread over the ranks.

internal import Compression
internal import Foundation
internal import Glibc
public import MessagePassing
internal import Packing
public import Recipes
internal import Safetensors

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
        var manifest = try provenance()
        manifest.format = format.rawValue
        let shards = try plan.content.write(to: work.output, from: model.checkpoint, world: world) { try tile(plan.linears[$0], $1) }
        let files = try CheckpointCompletion(content: plan.content, source: model, output: work, world: world).run(shards: shards, manifest: manifest)
        withExtendedLifetime(lock) {}
        return ConversionReport(
            from: packed.reader.name, to: format.rawValue, linears: plan.linears.count, files: files.count, bytes: files.reduce(0) { $0 + $1.bytes })
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
            cleave: cleaveVersion, format: format.rawValue, source: try SourceFiles(model, known: nil, world: world).entries, linears: [:], tensors: [:],
            files: [])
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
}
