// The identity of a run: two runs with the same identity write the same bytes, and of two that differ it can be said where.

internal import Compression
internal import Foundation
internal import LinearAlgebra
package import Models
internal import Recipes
internal import Reporting
internal import Safetensors
package import Sharding
internal import Transformers

/// Everything that the result depends on besides the source's bytes, part by part.
package struct PlanIdentity: Codable, Equatable, Sendable {
    /// By what it is called in messages: `propagation`, `model.layers.0.mlp.down_proj: bits`.
    let parts: [String: String]

    /// XXH3 of all parts, 16 hexadecimal digits.
    package var hash: String {
        var checksum = Checksum()
        for (name, value) in parts.sorted(by: { $0.key < $1.key }) {
            Array("\(name)=\(value)\n".utf8).withUnsafeBytes { checksum.update($0) }
        }
        return checksum.hexDigest
    }

    package init(_ plan: Plan, _ model: Model, idsHash: String?) throws {
        let recipe = plan.recipe
        let index = model.checkpoint.index
        let tensors = index.tensors.sorted { $0.key < $1.key }.map { name, tensor in
            "\(name) \(tensor.description.type.rawValue) \(tensor.description.shape) \(index.files[tensor.file].name) \(tensor.bytes)\n"
        }
        var parts = [
            "version of Cleave": cleaveVersion,
            "config.json": model.configuration.withUnsafeBytes { Checksum.of($0) },
            "names, shapes and places of the model's tensors": Self.checksum(tensors.joined()),
            "propagation": recipe.propagation.rawValue,
            // What is computed in bf16 where the CPU can, and in fp32 elsewhere, has other bits.
            "compute": recipe.compute == recipe.compute.effective ? recipe.compute.rawValue : "\(recipe.compute.rawValue) on a CPU without it",
            "rotate": model.rotated.map { "blocks of \($0.block), values of heads in \($0.rotatedAttentions) layers" } ?? "nothing",
            "format": recipe.format.rawValue,
            "max_shard_size": "\(recipe.maxShardSize)",
            "calibration: cut of the batches": Self.checksum("\(plan.batches)"),
            "calibration: token ids (source, tokenizer, sampling)": idsHash ?? "none",
            "cut of the tiles": Self.checksum(plan.blocks.map { block in "\(block.stages.map { $0.tiles.map { "\($0.linear):\($0.rows)" } })\n" }.joined()),
        ]
        if let cache = recipe.cache { parts["kv_cache"] = "\(cache.number.rawValue) by \(cache.strategy.rawValue)" }
        if recipe.format == .gguf {
            parts["gguf: token_embedding_type"] = recipe.gguf.tokenEmbeddingType?.rawValue ?? "by other weights"
            parts["gguf: output_tensor_type"] = recipe.gguf.outputTensorType?.rawValue ?? "by other weights"
        }
        if plan.architecture.hasExperts {
            let experts = recipe.experts
            parts["experts: calibrate"] = experts.calibrate.rawValue
            // A run that ends with an error at a starved expert has solved the others as one that blends.
            parts["experts: starved"] = (experts.starved == .rtn ? experts.starved : .blend).rawValue
            parts["experts: minimum_tokens"] = experts.minimumTokens.map(String.init) ?? "columns"
        }
        for linear in plan.blocks.flatMap({ $0.stages.flatMap(\.linears) }) {
            for (setting, value) in try Self.settings(linear.treatment) { parts["\(linear.linear.name): \(setting)"] = value }
            // What a run measures that is still to be chosen among.
            if !linear.choices.isEmpty {
                parts["\(linear.linear.name): choices"] = linear.choices.map { "\($0.treatment.bits ?? 16) by \($0.treatment.group)" }.joined(separator: ", ")
            }
        }
        self.parts = parts
    }

    private static func checksum(_ text: String) -> String { Array(text.utf8).withUnsafeBytes { Checksum.of($0) } }

    private static func settings(_ treatment: Treatment?) throws -> [String: String] {
        guard let treatment else { return ["method": "kept"] }
        let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(treatment)) as? [String: Any] ?? [:]
        return object.mapValues { "\($0)" }
    }

    /// What differs, in words; empty when nothing does. Linears with the same difference are named together.
    package func differences(from earlier: PlanIdentity) -> [String] {
        var linears: [String: [String]] = [:]
        var lines: [String] = []
        for name in Set(parts.keys).union(earlier.parts.keys).sorted() where parts[name] != earlier.parts[name] {
            let change = "was \(earlier.parts[name] ?? "absent"), is \(parts[name] ?? "absent")"
            // A linear's setting: `NAME: SETTING`, and names hold dots.
            if let colon = name.range(of: ": "), name[..<colon.lowerBound].contains(".") {
                linears["\(name[colon.upperBound...]) \(change)", default: []].append(String(name[..<colon.lowerBound]))
            } else {
                lines.append("\(name): \(change)")
            }
        }
        for (change, names) in linears.sorted(by: { $0.key < $1.key }) {
            lines.append("\(change) for \(names[0])\(names.count > 1 ? " and \(names.count - 1) more linears" : "")")
        }
        return lines
    }
}
