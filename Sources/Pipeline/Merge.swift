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
    let plan: Plan
    let planHash: String
    let model: Model
    let tokens: TokenSequences?
    let tiles: CommittedTiles
    let work: WorkDirectory
    let world: Communicator

    /// - Returns: the sizes of source and result.
    func run() throws -> SizeReport {
        let output = try OutputPlan(plan, source: model.checkpoint.index)
        if world.isCoordinator { try removeCompletion(output) }
        try world.barrier()
        var own: [Manifest.File] = []
        for (number, file) in output.files.enumerated() where number % world.size == world.rank {
            own.append(try write(file, output))
        }
        let gathered = try world.gather([UInt8](JSONEncoder().encode(own)))
        if world.isCoordinator {
            let written = try gathered.flatMap { try JSONDecoder().decode([Manifest.File].self, from: Data($0)) }
            try complete(output, written.sorted { $0.name < $1.name })
        }
        try world.barrier()
        return SizeReport(
            sourceBytes: model.checkpoint.index.totalByteCount,
            outputBytes: output.files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } },
            bitsPerWeight: Double(8 * output.compressedBytes) / Double(max(output.compressedWeights, 1)),
            sourceBitsPerWeight: Double(output.sourceBitsOfCompressed) / Double(max(output.compressedWeights, 1)))
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
                    try copy(entry.description, to: writer)
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

    private func copy(_ tensor: TensorDescription, to writer: SafetensorsWriter) throws {
        let piece = 64 << 20  // bytes at a time
        for start in stride(from: 0, to: tensor.byteCount, by: piece) {
            try model.checkpoint.withBytes(of: tensor.name, bytes: start..<min(start + piece, tensor.byteCount)) { bytes in
                try writer.append(bytes, to: tensor.name)
            }
        }
    }

    // MARK: - Everything else

    private func complete(_ output: OutputPlan, _ shards: [Manifest.File]) throws {
        var files = shards
        for name in try companions() { files.append(try copyCompanion(name)) }
        if output.files.count > 1 {
            let map = Dictionary(uniqueKeysWithValues: output.files.flatMap { file in file.tensors.map { ($0.name, file.name) } })
            let total = output.files.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.byteCount } }
            let written = try ShardIndex(weightMap: map).write(to: work.output + "/" + ShardIndex.fileName, totalByteCount: total)
            files.append(Manifest.File(name: ShardIndex.fileName, bytes: written.byteCount, xxh3: written.checksum))
        }
        let configuration = try configuration(output)
        let bytes = Array(configuration.utf8)
        let checksum = bytes.withUnsafeBytes { Checksum.of($0) }
        files.append(Manifest.File(name: "config.json", bytes: bytes.count, xxh3: checksum))
        _ = try AtomicFile.write(try manifest(output, files).text(), to: work.manifest)
        _ = try AtomicFile.write(bytes, to: work.output + "/config.json")
    }

    /// Small files of the source that clients read: tokenizer, chat template, generation defaults, licence, model code.
    private func companions() throws -> [String] {
        let known = [
            "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
            "merges.txt", "generation_config.json", "preprocessor_config.json", "chat_template.jinja", "chat_template.json", "LICENSE", "LICENSE.txt",
            "LICENSE.md", "NOTICE",
        ]
        let names = try FileManager.default.contentsOfDirectory(atPath: model.path)
        return names.filter { known.contains($0) || $0.hasSuffix(".py") || $0.hasSuffix(".tiktoken") }.sorted()
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
        let kept = plan.blocks.flatMap { $0.stages.flatMap { $0.linears.filter { $0.treatment == nil }.map(\.linear.name) } }
        let quantization = try output.format.configuration(output.linears.map(\.packed), ignored: kept + [plan.architecture.head.linear.name])
        if let quantization { value = value.setting("quantization_config", quantization) }
        return value.text()
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
            format: plan.recipe.format.rawValue, calibration: calibration, linears: Dictionary(uniqueKeysWithValues: linears), tensors: tensors,
            files: files)
    }
}

/// The version of this program, part of every plan's hash.
public let cleaveVersion = "0.1.0"
