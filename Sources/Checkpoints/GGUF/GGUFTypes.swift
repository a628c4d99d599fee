// Which types the tensors of a GGUF result have.

internal import Compression
internal import Failures
internal import GGUF
internal import Models
internal import Packing
internal import Recipes
internal import Safetensors
internal import Sharding
internal import Transformers

/// What decides on the types of tensors that are not solved for.
struct GGUFTypes: Sendable {
    /// Of most weights; the first in the order of types where two have as many.
    private let most: NumberType
    private let settings: GGUFSettings
    private let isTied: Bool

    init(_ linears: [PackedLinear], _ plan: Plan) {
        (settings, isTied) = (plan.recipe.gguf, plan.architecture.head.isTied)
        let weights = linears.reduce(into: [NumberType: Int]()) { $0[$1.options.number, default: 0] += $1.rows * $1.columns }
        let largest = weights.values.max() ?? 0
        most = NumberType.allCases.first { weights[$0] == largest } ?? .q8_0
    }

    /// What `general.file_type` names.
    var ofFile: GGMLType { GGMLType(most) ?? .f32 }

    /// Of the head, or of an embedding beside it. Where the recipe does not say: llama.cpp's own choice, a head in `q6_k` or `q8_0`, and an embedding like most
    /// weights.
    ///
    /// - Throws: `PipelineError` where the columns are no whole blocks.
    func ofKept(_ tensor: String, isHead: Bool, columns: Int) throws -> (type: GGMLType, blocks: NumberType?) {
        // Of an embedding that is the head, what is said of embeddings counts first, as in llama.cpp.
        let asked = isHead && !isTied ? settings.outputTensorType : settings.tokenEmbeddingType ?? (isHead ? settings.outputTensorType : nil)
        if let asked, let type = GGMLType(named: asked.rawValue) {
            guard columns % type.block.elements == 0 else {
                throw PipelineError(
                    .badInput,
                    "`format: gguf` cannot carry \(tensor) in \(asked.rawValue), as the recipe says: its \(columns) columns are no whole blocks of "
                        + "\(type.block.elements)")
            }
            return (type, asked.blocks)
        }
        let usual: NumberType = most == .q8_0 ? .q8_0 : isHead ? .q6_k : most
        guard let blocks = usual.fitting(columns: columns), let type = GGMLType(blocks) else {
            throw PipelineError(
                .badInput,
                "`format: gguf` cannot carry \(tensor): its \(columns) columns are no whole blocks of 32; give `gguf.token_embedding_type: bf16` or "
                    + "`gguf.output_tensor_type: bf16`")
        }
        return (type, blocks)
    }
}
