// The scales of keys and values in a result.

internal import Compression
internal import Models
internal import Packing
internal import Recipes
internal import Safetensors
internal import Sharding
internal import Transformers

extension OutputTensors {
    /// Of each attention k_scale and v_scale: [1], or of heads [heads, 1, 1], in the type of its weights.
    ///
    /// - Parameter record: the largest keys and values; nil: they are not known, and the sizes alone count.
    /// - Throws: `PipelineError` where the source already has such a tensor.
    mutating func append(scalesOf plan: Plan, source: SourceTensors, _ record: CacheRecord?) throws {
        guard let cache = plan.recipe.cache else { return }
        for attention in plan.cachedAttention {
            let type = source[attention.linear.weight]?.description.type.ofWeights ?? .bf16
            let known = record?[attention.block] ?? Array(repeating: 0, count: 2 * attention.heads)
            for (name, magnitudes) in [("k_scale", known.prefix(attention.heads)), ("v_scale", known.suffix(attention.heads))] {
                let scales = cache.scales(Array(magnitudes), type: ScaleType.allCases.first { $0.elementType == type } ?? .bf16)
                try append(
                    TensorDescription(name: "\(attention.module).\(name)", type: type, shape: cache.strategy == .head ? [scales.count, 1, 1] : [1]),
                    .constant(scales))
            }
        }
    }
}
