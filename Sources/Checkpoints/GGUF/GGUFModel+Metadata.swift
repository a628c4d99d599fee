// What a GGUF file says of a model beside its tensors.

internal import Failures
internal import Foundation
package import GGUF
internal import JSON
package import Models
internal import Safetensors
internal import Transformers

extension GGUFModel {
    /// The metadata of the architecture. Source: llama.cpp, `conversion/base.py` and those of the families beside it, `llama-model.cpp` (`load_hparams`).
    ///
    /// - Parameters:
    ///   - title: what to call the model; nil: nothing.
    ///   - type: of most weights.
    func metadata(title: String?, type: GGMLType) -> [GGUFEntry] {
        var entries = [GGUFEntry("general.architecture", .string(family.architecture)), GGUFEntry("general.type", .string("model"))]
        if let title { entries.append(GGUFEntry("general.name", .string(title))) }
        if let number = type.fileType { entries.append(GGUFEntry("general.file_type", .uint32(number))) }
        entries += [
            GGUFEntry("general.quantization_version", .uint32(2)),
            count("block_count", architecture.blockCount), count("context_length", architecture.maximumPositions),
            count("embedding_length", architecture.hiddenSize), count("feed_forward_length", intermediateSize),
            number("attention.layer_norm_rms_epsilon", Double(architecture.finalNorm.epsilon)), count("vocab_size", architecture.vocabularySize),
        ]
        return entries + heads + (experts.map(metadata) ?? []) + (attention.rotary.map(metadata) ?? [])
    }

    private func entry(_ key: String, _ value: GGUFValue) -> GGUFEntry { GGUFEntry("\(family.architecture).\(key)", value) }
    private func count(_ key: String, _ value: Int) -> GGUFEntry { entry(key, .uint32(UInt32(clamping: value))) }
    private func number(_ key: String, _ value: Double) -> GGUFEntry { entry(key, .float32(Float(value))) }

    private var heads: [GGUFEntry] {
        switch attention {
        case .grouped(let attention, let sliding):
            var entries = [
                count("attention.head_count", attention.heads), count("attention.head_count_kv", attention.keyValueHeads),
                count("attention.key_length", attention.headSize), count("attention.value_length", attention.headSize),
            ]
            if let window = sliding?.window { entries.append(count("attention.sliding_window", window)) }
            if let sliding, family.rotatesWindowsApart, let rotary = sliding.rotary { entries.append(number("rope.freq_base_swa", rotary.base)) }
            if let cap = attention.softcap { entries.append(number("attn_logit_softcapping", Double(cap))) }
            if let cap = architecture.head.softcap { entries.append(number("final_logit_softcapping", Double(cap))) }
            return entries
        case .latent(let shape, let keyValueRank, let queryRank):
            // One key and value for all heads: the latent vector and the part that is rotated.
            return [
                count("attention.head_count", shape.heads), count("attention.head_count_kv", 1), count("attention.kv_lora_rank", keyValueRank),
                count("attention.key_length", keyValueRank + shape.rotatedSize), count("attention.value_length", keyValueRank),
                count("attention.key_length_mla", shape.plainSize + shape.rotatedSize), count("attention.value_length_mla", shape.valueSize),
            ] + (queryRank.map { [count("attention.q_lora_rank", $0)] } ?? [])
        }
    }

    private func metadata(_ experts: GGUFExperts) -> [GGUFEntry] {
        var entries = [
            count("expert_count", experts.count), count("expert_used_count", experts.chosen), count("expert_feed_forward_length", experts.intermediateSize),
        ]
        // What is said of others is what llama.cpp takes for granted.
        guard family.normalisesExperts == nil else {
            return entries + (experts.sharedSize.map { [count("expert_shared_feed_forward_length", $0)] } ?? [])
        }
        entries += [
            count("leading_dense_block_count", experts.denseBlocks), count("expert_shared_count", (experts.sharedSize ?? 0) / experts.intermediateSize),
            number("expert_weights_scale", Double(experts.scale)), entry("expert_weights_norm", .bool(experts.normalises)),
            count("expert_gating_func", experts.scores == .sigmoid ? 2 : 1),
        ]
        if let groups = experts.groups { entries += [count("expert_group_count", groups.count), count("expert_group_used_count", groups.chosen)] }
        return entries
    }

    private func metadata(_ rotary: Rotary) -> [GGUFEntry] {
        let entries = [count("rope.dimension_count", rotary.size), number("rope.freq_base", rotary.base)]
        switch rotary.scaling {
        case .linear(let factor): return entries + [entry("rope.scaling.type", .string("linear")), number("rope.scaling.factor", factor)]
        case .yarn(let yarn):
            guard case .latent(let shape, _, _) = attention else { return entries }
            return entries + [
                entry("rope.scaling.type", .string("yarn")), number("rope.scaling.factor", yarn.factor),
                count("rope.scaling.original_context_length", yarn.originalPositions), number("rope.scaling.yarn_beta_fast", yarn.fast),
                number("rope.scaling.yarn_beta_slow", yarn.slow), number("rope.scaling.yarn_log_multiplier", 0.1 * shape.scoreLogarithm(yarn)),
            ]
        default: return entries
        }
    }

    /// What config.json calls the model: the last part of `_name_or_path`; nil where it says nothing.
    ///
    /// The directory's own name is no part of the source: the same model elsewhere gives the same bytes.
    static func title(configuration: JSONValue) -> String? {
        configuration["_name_or_path"]?.string?.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init)
    }

    /// The metadata of a tokenizer.
    /// - Parameter directory: of the model.
    package func tokenizer(in directory: String) throws -> [GGUFEntry] {
        func optional(_ name: String) throws(SafetensorsError) -> [UInt8]? {
            do {
                return try InputFile.bytes(of: directory + "/" + name)
            } catch {
                guard error.kind == .missing else { throw error }
                return nil
            }
        }
        do {
            return try TokenizerMetadata(
                tokenizer: InputFile.json(of: directory + "/tokenizer.json"), settings: optional("tokenizer_config.json"),
                configuration: InputFile.json(of: directory + "/config.json"),
                chatTemplate: optional("chat_template.jinja").map { String(decoding: $0, as: UTF8.self) }, vocabularySize: architecture.vocabularySize
            ).entries
        } catch let error as GGUFError {
            throw PipelineError(.badInput, "\(directory): `format: gguf` carries the tokenizer too: \(error)")
        }
    }
}
