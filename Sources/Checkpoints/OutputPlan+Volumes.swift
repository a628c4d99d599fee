// How much a plan reads and writes.

public import Models
internal import Packing
internal import Recipes
package import Safetensors
public import Sharding
internal import Transformers

extension OutputPlan {
    /// Of the result, and of its source.
    package func volumes(source: CheckpointIndex) -> FileVolumes {
        FileVolumes(
            sourceBytes: source.totalByteCount, outputBytes: content.byteCount, outputFiles: content.files.count, bitsPerWeight: bitsPerWeight)
    }
}

extension ModelShape {
    /// What the result of a plan would be.
    /// - Throws: what the recipe's format cannot carry.
    public func volumes(_ plan: Plan) throws -> FileVolumes {
        let tensors = SourceTensors(plain: index), equivalent = try plan.recipe.equivalence.map { try EquivalentArchitecture(architecture, $0) }
        return try OutputPlan(plan, source: equivalent.map(tensors.equivalent) ?? tensors).volumes(source: index)
    }
}
