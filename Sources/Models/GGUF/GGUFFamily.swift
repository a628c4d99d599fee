// The families of models that GGUF results can have, and what llama.cpp takes for granted of each.

internal import Failures
package import GGUF
internal import Transformers

/// A family as llama.cpp knows it.
package struct GGUFFamily: Sendable {
    /// `general.architecture`.
    package let architecture: String
    package let names: GGUFNames
    /// Whether neighbours are rotated together, so that the rows of queries and keys have another order than in transformers.
    var pairsRows = false
    /// Whether the head must have a weight of its own, or be the embedding; nil: either.
    var hasHead: Bool?
    /// Whether all heads together may be of another width than the residual stream, and whether several may share keys and values.
    var hasFreeHeads = true
    var sharesKeys = true
    var activation = ActivationFunction.silu
    /// Of so many blocks all but the last see a window of tokens; nil: none does.
    var windowPeriod: Int?
    /// Whether blocks with a window have a rotation of their own.
    package var rotatesWindowsApart = false
    /// Whether scores and logits have caps.
    var hasCaps = false
    /// The number of blocks of a model whose scores are scaled by the hidden size's share of a head instead of the head's own size.
    var blocksScaledByHidden: Int?
    /// Whether the first blocks may be without experts.
    var mayBeginDense = false
    /// Whether the weights of a token's experts are divided by their sum; nil: as the file says, or there are no experts.
    package var normalisesExperts: Bool?

    /// By transformers' model_type. Source: llama.cpp, `src/models/`, and `conversion/` for what files say.
    static let all: [String: GGUFFamily] = [
        "deepseek_v2": GGUFFamily(architecture: "deepseek2", names: .deepSeek, mayBeginDense: true),
        "deepseek_v3": GGUFFamily(architecture: "deepseek2", names: .deepSeek, mayBeginDense: true),
        "gemma2": GGUFFamily(
            architecture: "gemma2", names: .gemma, hasHead: false, activation: .geluTanh, windowPeriod: 2, hasCaps: true, blocksScaledByHidden: 46),
        "gemma3_text": GGUFFamily(
            architecture: "gemma3", names: .gemma, activation: .geluTanh, windowPeriod: 6, rotatesWindowsApart: true, blocksScaledByHidden: 62),
        "llama": GGUFFamily(architecture: "llama", names: .llama, pairsRows: true),
        "mistral": GGUFFamily(architecture: "llama", names: .llama, pairsRows: true),
        "mixtral": GGUFFamily(architecture: "llama", names: .mixtral, pairsRows: true, normalisesExperts: true),
        "olmoe": GGUFFamily(architecture: "olmoe", names: .mixture, hasHead: true, hasFreeHeads: false, sharesKeys: false, normalisesExperts: false),
        "qwen2": GGUFFamily(architecture: "qwen2", names: .llama, hasFreeHeads: false),
        "qwen2_moe": GGUFFamily(architecture: "qwen2moe", names: .qwen2Mixture, hasHead: true, hasFreeHeads: false, normalisesExperts: false),
        "qwen3": GGUFFamily(architecture: "qwen3", names: .llama),
        "qwen3_moe": GGUFFamily(architecture: "qwen3moe", names: .mixture, normalisesExperts: true),
    ]

    /// - Throws: `PipelineError` with the families that there are.
    static func of(_ modelType: String) throws -> GGUFFamily {
        guard let family = all[modelType] else {
            throw PipelineError(
                .badInput,
                "GGUF is written and read for models of the types \(all.keys.sorted().joined(separator: ", ")), and this one is \(modelType); use another format"
            )
        }
        return family
    }
}
