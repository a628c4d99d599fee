// A recipe's plan for a model that is there.

internal import LinearAlgebra
package import Recipes
package import Sharding
internal import Transformers

extension Model {
    /// The plan of a recipe for this model.
    package func plan(_ recipe: Recipe) throws -> Plan {
        var plan = try Plan(recipe: recipe, architecture: architecture) { try scaleType($0) }
        plan.multipliesBFloat16 = BFloat16.isAccelerated
        plan.sourceBytesPerWeight = tensors.bytesPerWeight(plan)
        return plan
    }
}
