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
    /// By what it is called in messages, such as `propagation`.
    let parts: [String: String]
    /// Every linear of the plan once; nil in records of earlier versions.
    let treatments: [TreatedLinears]?

    /// What is done to some linears.
    struct TreatedLinears: Codable, Equatable, Sendable {
        /// By name, such as `bits`.
        let settings: [String: String]
        /// In the model's order.
        var linears: [String]
    }

    private static let version = "version of Cleave"

    /// XXH3 of all parts and of what is done to each linear, 16 hexadecimal digits.
    package var hash: String {
        var checksum = Checksum()
        func add(_ text: String) { Array(text.utf8).withUnsafeBytes { checksum.update($0) } }
        func add(_ values: [String: String]) { for (name, value) in values.sorted(by: { $0.key < $1.key }) { add("\(name)=\(value)\n") } }
        add(parts)
        for treated in treatments ?? [] {
            add(treated.settings)
            for linear in treated.linears { add("\(linear)\n") }
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
            Self.version: cleaveVersion,
            "config.json": model.configuration.withUnsafeBytes { Checksum.of($0) },
            "names, shapes and places of the model's tensors": Self.checksum(tensors.joined()),
            "propagation": recipe.propagation.rawValue,
            // What is computed in bf16 where the CPU can, and in fp32 elsewhere, has other bits.
            "compute": recipe.compute == recipe.compute.effective ? recipe.compute.rawValue : "\(recipe.compute.rawValue) on a CPU without it",
            "rotate": model.equivalent.flatMap { found in
                found.block.map { "blocks of \($0), values of heads in \(found.rotatedAttentions) layers" }
            } ?? "nothing",
            "equalize": recipe.equivalence?.equalizes == true ? "\(model.equivalent?.channels.count ?? 0) groups of channels" : "nothing",
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
        self.parts = parts
        treatments = try Self.treatments(plan)
    }

    private static func treatments(_ plan: Plan) throws -> [TreatedLinears] {
        struct Key: Hashable {
            let treatment: Treatment?
            let choices: [Treatment]
        }
        var found: [TreatedLinears] = []
        var places: [Key: Int] = [:]
        for block in plan.blocks {
            for stage in block.stages {
                for linear in stage.linears {
                    let choices = linear.choices.map(\.treatment)
                    let key = Key(treatment: linear.treatment, choices: choices)
                    if let place = places[key] {
                        found[place].linears.append(linear.linear.name)
                    } else {
                        var settings = try settings(linear.treatment)
                        // What a run measures that is still to be chosen among.
                        if !choices.isEmpty { settings["choices"] = choices.map(\.summary).joined(separator: "; ") }
                        places[key] = found.count
                        found.append(TreatedLinears(settings: settings, linears: [linear.linear.name]))
                    }
                }
            }
        }
        return found
    }

    private static func checksum(_ text: String) -> String { Array(text.utf8).withUnsafeBytes { Checksum.of($0) } }

    private static func settings(_ treatment: Treatment?) throws -> [String: String] {
        guard let treatment else { return ["method": "kept"] }
        let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(treatment)) as? [String: Any] ?? [:]
        return object.mapValues { "\($0)" }
    }

    /// What differs, in words; empty when nothing does. Linears with the same difference are named together. Settings of another version are not compared.
    package func differences(from earlier: PlanIdentity) -> [String] {
        func changes(_ names: [String]) -> [String] {
            names.filter { parts[$0] != earlier.parts[$0] }.map { "\($0): \(Self.change(from: earlier.parts[$0], to: parts[$0]))" }
        }
        guard parts[Self.version] == earlier.parts[Self.version] else { return changes([Self.version]) }
        return changes(Set(parts.keys).union(earlier.parts.keys).sorted()) + Self.changes(from: earlier.treatments ?? [], to: treatments ?? [])
    }

    private static func changes(from before: [TreatedLinears], to now: [TreatedLinears]) -> [String] {
        let (earlierSettings, ownSettings) = (settings(before), settings(now))
        var changes: [String: [String]] = [:]
        for linear in Set(earlierSettings.keys).union(ownSettings.keys).sorted() where earlierSettings[linear] != ownSettings[linear] {
            let (old, new) = (earlierSettings[linear] ?? [:], ownSettings[linear] ?? [:])
            for setting in Set(old.keys).union(new.keys) where old[setting] != new[setting] {
                changes["\(setting) \(change(from: old[setting], to: new[setting]))", default: []].append(linear)
            }
        }
        return changes.sorted { $0.key < $1.key }.map { change, linears in
            "\(change) for \(linears[0])\(linears.count > 1 ? " and \(linears.count - 1) more linears" : "")"
        }
    }

    private static func change(from earlier: String?, to now: String?) -> String { "was \(earlier ?? "absent"), is \(now ?? "absent")" }

    /// Those of each linear.
    private static func settings(_ treatments: [TreatedLinears]) -> [String: [String: String]] {
        treatments.reduce(into: [:]) { found, treated in for linear in treated.linears { found[linear] = treated.settings } }
    }
}
