// From committed tiles and untouched tensors to the final checkpoint, its files spread over the ranks.

internal import Foundation
internal import MessagePassing
internal import Packing
internal import Recipes
internal import Reporting
internal import Safetensors
internal import Sharding
internal import Transformers

/// Writes the files of the result. Memory is bounded by one tensor; `config.json` comes last, so an unfinished directory never looks loadable.
struct Merge {
    private let plan: Plan
    private let planHash: String
    private let model: Model
    private let tokens: TokenSequences?
    private let sourceFiles: SourceFiles?
    private let tiles: CommittedTiles
    private let work: WorkDirectory
    private let world: Communicator

    /// - Parameter tiles: every tile of the job's plan.
    init(_ job: Job, tiles: CommittedTiles) {
        plan = job.plan
        planHash = job.planHash
        model = job.model
        tokens = job.tokens
        sourceFiles = job.sourceFiles
        self.tiles = tiles
        work = job.work
        world = job.world
    }

    /// - Returns: the sizes of source and result.
    func run() throws -> SizeReport {
        let output = try OutputPlan(plan, source: model.checkpoint.index)
        try world.onCoordinator(exitCode: exitCode) { try removeCompletion(output) }
        let assignment = Assignment(ranks: world.size)
        let own = try world.together(exitCode: exitCode) { () throws in
            try output.files.enumerated().filter { assignment.writer(ofShard: $0.offset) == world.rank }.map { try write($0.element, output) }
        }
        let gathered = try world.gather([UInt8](JSONEncoder().encode(own)))
        try world.onCoordinator(exitCode: exitCode) {
            let written = try gathered.flatMap { try JSONDecoder().decode([Manifest.File].self, from: Data($0)) }
            try complete(output, written.sorted { $0.name < $1.name })
        }
        return SizeReport(
            sourceBytes: model.checkpoint.index.totalByteCount,
            outputBytes: output.files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } },
            bitsPerWeight: output.bitsPerWeight, sourceBitsPerWeight: output.sourceBitsPerWeight)
    }

    /// Takes away what makes a directory look finished, config.json first, and then shards of an earlier cut, before the first new file is written.
    private func removeCompletion(_ output: OutputPlan) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: work.output)) ?? []
        let stale = names.filter { $0.hasSuffix(".safetensors") && !output.files.map(\.name).contains($0) }
        for name in ["config.json", "cleave_manifest.json", ShardIndex.fileName] + stale where names.contains(name) {
            do {
                try FileManager.default.removeItem(atPath: work.output + "/" + name)
            } catch {
                throw PipelineError(.cannotWrite, "cannot remove \(work.output)/\(name): \(error.localizedDescription)")
            }
        }
    }

    // MARK: - Shards

    private func write(_ file: OutputPlan.File, _ output: OutputPlan) throws -> Manifest.File {
        let writer = try SafetensorsWriter(path: work.output + "/" + file.name, tensors: file.tensors, metadata: ["format": "pt"])
        do {
            for entry in writer.entries {
                switch output.origins[entry.name] {
                case .linear(let index):
                    let linear = output.linears[index]
                    try output.format.write(entry.name, of: linear.packed, tile: { try tiles.read(linear.tiles[$0]) }) { bytes in
                        try writer.append(bytes, to: entry.name)
                    }
                case .source:
                    try model.checkpoint.copy(entry.description, to: writer)
                case nil:
                    throw PipelineError(.internalError, "tensor \(entry.name) has no origin")
                }
            }
            let written = try writer.finish()
            return Manifest.File(name: file.name, bytes: written.byteCount, xxh3: written.checksum)
        } catch {
            writer.abandon()
            throw error
        }
    }

    // MARK: - Everything else

    private func complete(_ output: OutputPlan, _ shards: [Manifest.File]) throws {
        var files = shards
        for name in try SourceFiles.companions(model.path) { files.append(try copyCompanion(name)) }
        if output.files.count > 1 {
            let map = Dictionary(uniqueKeysWithValues: output.files.flatMap { file in file.tensors.map { ($0.name, file.name) } })
            let total = output.files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } }
            let written = try ShardIndex(weightMap: map).write(to: work.output + "/" + ShardIndex.fileName, totalByteCount: total)
            files.append(Manifest.File(name: ShardIndex.fileName, bytes: written.byteCount, xxh3: written.checksum))
        }
        for companion in try output.format.companions(output.linears.map(\.packed), ignored: ignored) {
            let written = try AtomicFile.write(companion.text, to: work.output + "/" + companion.name)
            files.append(Manifest.File(name: companion.name, bytes: written.byteCount, xxh3: written.checksum))
        }
        let configuration = try configuration(output)
        let bytes = Array(configuration.utf8)
        let checksum = bytes.withUnsafeBytes { Checksum.of($0) }
        files.append(Manifest.File(name: "config.json", bytes: bytes.count, xxh3: checksum))
        _ = try AtomicFile.write(manifest(output, files).sealedJSON(pretty: true), to: work.manifest)
        _ = try AtomicFile.write(bytes, to: work.output + "/config.json")
    }

    private func copyCompanion(_ name: String) throws -> Manifest.File {
        guard let data = FileManager.default.contents(atPath: model.path + "/" + name) else {
            throw PipelineError(.missingInput, "cannot read \(model.path)/\(name)")
        }
        let written = try AtomicFile.write([UInt8](data), to: work.output + "/" + name)
        return Manifest.File(name: name, bytes: written.byteCount, xxh3: written.checksum)
    }

    /// The source's config.json with what clients need to know of the format.
    private func configuration(_ output: OutputPlan) throws -> String {
        guard var value = JSONValue(parsing: model.configuration) else {
            throw PipelineError(.badInput, "\(model.path)/config.json is not valid JSON")
        }
        let quantization = try output.format.configuration(output.linears.map(\.packed), ignored: ignored)
        if let quantization { value = value.setting("quantization_config", quantization) }
        return value.text()
    }

    /// The linears that clients find as plain weights, kept or pruned.
    private var ignored: [String] {
        let kept = plan.blocks.flatMap { $0.stages.flatMap { $0.linears.filter { $0.options == nil }.map(\.linear.name) } }
        return kept + [plan.architecture.head.linear.name]
    }

    private func manifest(_ output: OutputPlan, _ files: [Manifest.File]) throws -> Manifest {
        var tensors: [String: Manifest.Tensor] = [:]
        for file in output.files {
            for tensor in file.tensors { tensors[tensor.name] = Manifest.Tensor(type: tensor.type.rawValue, shape: tensor.shape, file: file.name) }
        }
        let linears = plan.compressedLinears.compactMap { linear in linear.treatment.map { (linear.linear.name, $0) } }
        let calibration = plan.recipe.calibration.flatMap { calibration in
            tokens.map {
                Manifest.Calibration(
                    idsHash: $0.hash, sequences: calibration.sequences, length: calibration.length, seed: calibration.seed)
            }
        }
        return Manifest(
            cleave: cleaveVersion, planHash: planHash, propagation: plan.recipe.propagation.rawValue, compute: plan.recipe.compute.rawValue,
            format: plan.recipe.format.rawValue, calibration: calibration, source: sourceFiles?.entries ?? [:],
            linears: Dictionary(uniqueKeysWithValues: linears), tensors: tensors,
            files: files)
    }
}

/// The version of this program, part of every plan's hash.
public let cleaveVersion = "0.2.0"
