// From one on-disk format to another that holds the same codes; the files are spread over the ranks.

internal import Compression
internal import Failures
internal import Foundation
internal import Glibc
public import MessagePassing
internal import Models
internal import Packing
public import Recipes
internal import Reporting
internal import Safetensors
public import Transformers

/// What a conversion wrote.
public struct ConversionReport: Codable, Sendable {
    public var from: String
    public var to: String
    public var linears: Int
    /// Elements of the residual stream that were rotated together; nil where weights were not rotated.
    public var rotationBlock: Int?
    /// Groups of channels that were scaled to one size; nil where none were.
    public var equalizedChannels: Int?
    public var files: Int
    public var bytes: Int
}

/// Writes a compressed checkpoint anew in another format: codes, scales and zero points stay what they are, exactly. Or any checkpoint as another dense model of the same function.
///
/// Memory is bounded by one tensor. Files keep their names; each is written whole or not at all, and config.json comes last.
public struct Conversion {
    private let model: Model
    private let plan: ConversionPlan
    private let format: OutputFormat
    private let work: WorkDirectory
    private let world: Communicator

    /// Opens the source and checks that the format can carry every linear.
    ///
    /// - Parameter equivalence: the other model of the same function that is written; the format must be dense then.
    /// - Throws: an `AgreedFailure` with exit code 65 that names the first linear which the format cannot carry.
    public init(
        _ directory: String, to format: OutputFormat, equivalence: Equivalence? = nil, output: String, reading: WeightReading, world: Communicator
    ) throws {
        try world.onCoordinator(exitCode: exitCode) { try OutputPlace.check(output, model: directory) }
        if let equivalence, format != .dense {
            throw AgreedFailure(
                rank: 0, exitCode: 65,
                description: "rotated or scaled weights have no codes yet: give `--format dense`, or compress \(directory) with a recipe that has "
                    + equivalence.keys)
        }
        let model = try Model(path: directory, reading: reading, equivalence: equivalence, world: world)
        try model.measureChannels(world: world)
        self.model = model
        self.format = format
        self.world = world
        work = WorkDirectory(output: output)
        guard model.tensors.packed != nil || !model.tensors.scaled.isEmpty || model.tensors.index.isGGUF || equivalence != nil else {
            throw AgreedFailure(rank: 0, exitCode: 65, description: "\(directory) is dense; `cleave compress` makes a compressed checkpoint of it")
        }
        plan = try world.agreed { () throws in try ConversionPlan(model, to: format) }
    }

    /// What the user should know of the source: sentences, on the coordinator.
    public var remarks: [String] { model.remarks }

    /// - Throws: an `AgreedFailure` with exit code 73 when the output directory holds something else, 65 when the format cannot hold a number.
    public func run() throws -> ConversionReport {
        try model.checkNumbers(world: world)
        let completion = CheckpointCompletion(content: plan.content, source: model, output: work, world: world)
        let names = try world.fromCoordinator(exitCode: exitCode) { try completion.fileNames() }
        defer { if world.isCoordinator { work.leaveResult(names) } }
        return try runLocked(completion, names)
    }

    private func runLocked(_ completion: CheckpointCompletion, _ names: [String]) throws -> ConversionReport {
        var lock: RunLock?
        try world.onCoordinator(exitCode: exitCode) { lock = try work.enterForResult(names) }
        var manifest = try provenance()
        manifest.format = format.rawValue
        if let equivalent = model.equivalent { manifest.note(equivalent) }
        let shards = try plan.content.write(to: work.output, from: model.parameters, world: world) { try tile(plan.linears[$0], $1) }
        let files = try completion.run(shards: shards, manifest: manifest) { try model.checkpoint.checkUnchanged() }
        withExtendedLifetime(lock) {}
        return ConversionReport(
            from: model.tensors.format, to: format.rawValue, linears: plan.linears.count + model.tensors.scaled.count, rotationBlock: model.equivalent?.block,
            equalizedChannels: model.equivalent?.equalizedChannels,
            files: files.count, bytes: files.reduce(0) { $0 + $1.bytes })
    }

    /// The source's manifest, whose account of how the codes were made still holds; one that names the source's files where there is none.
    private func provenance() throws -> Manifest {
        let known = try world.fromCoordinator(exitCode: exitCode) {
            FileManager.default.fileExists(atPath: Manifest.path(in: model.path)) ? try Manifest.read(model.path) : nil
        }
        if let known { return known }
        return Manifest(cleave: cleaveVersion, format: format.rawValue, source: try SourceFiles(model, known: nil, world: world).entries)
    }

    private func tile(_ linear: ConvertedLinear, _ index: Int) throws -> EncodedTile {
        let (name, wanted) = (linear.source, linear.target.options)
        guard let packed = model.tensors.packed else { throw PipelineError(.internalError, "codes of \(name) without a reader") }
        let tile = try packed.tile(name, rows: linear.tiles[index], linear.options, linear.shape, model.checkpoint)
        if tile.layout.holdsValues { return tile }
        if let scale = tile.firstScale(notExactIn: wanted.scaleType) {
            throw PipelineError(
                .badInput,
                "\(name): the scale \(scale.value) of row \(linear.tiles[index].lowerBound + scale.row), group \(scale.group), is no \(wanted.scaleType.rawValue) "
                    + "number, and format \(format.rawValue) stores it as one for this model; `--format dense` holds what clients compute")
        }
        return tile.layout.options == wanted ? tile : tile.relabelled(wanted)
    }
}
