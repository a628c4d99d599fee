// The attention of a plan whose keys and values clients keep quantized.

internal import Recipes
public import Transformers

/// An attention with scales for its keys and values.
public struct CachedAttention: Sendable {
    /// The places of its block, and of the stage that makes keys and values.
    public let block: Int
    public let stage: Int
    /// What clients call it: "model.layers.3.self_attn".
    public let module: String
    /// A linear whose type its scales have.
    public let linear: Linear
    /// Heads of keys and values.
    public let heads: Int
}

extension Plan {
    /// In the order of the model; none unless the recipe asks for it.
    public var cachedAttention: [CachedAttention] { recipe.cache == nil ? [] : attentionHeads }

    /// Every attention that keeps keys and values by heads.
    private var attentionHeads: [CachedAttention] {
        blocks.enumerated().flatMap { block, plan in
            plan.block.denseStages.enumerated().compactMap { place, stage in
                guard case .heads(let heads) = stage.effect.cache, let linear = stage.linears.first else { return nil }
                return CachedAttention(
                    block: block, stage: place, module: linear.name.split(separator: ".").dropLast().joined(separator: "."), linear: linear, heads: heads)
            }
        }
    }

    /// The name by which clients find scales in an attention.
    private static let moduleOfScales = "self_attn"

    /// - Throws: `PlanError.cache` for a model whose keys and values no client keeps in small numbers by scales of a checkpoint.
    func checkCache() throws(PlanError) {
        guard recipe.cache != nil else { return }
        if let latent = blocks.lazy.flatMap({ $0.block.denseStages }).first(where: { $0.effect.cache == .latent }) {
            throw .cache(
                "a server keeps a latent vector in place of keys and values (\(latent.linears[0].name) makes them of it), and no client has scales for it")
        }
        guard let first = attentionHeads.first else { throw .cache("the model has no attention that keeps keys and values") }
        guard first.module.split(separator: ".").last.map(String.init) == Self.moduleOfScales else {
            throw .cache("clients look for its scales in modules called `\(Self.moduleOfScales)`, and this model has \(first.module)")
        }
        guard compressedLinears.contains(where: { $0.options != nil }) else {
            throw .cache("no linear is quantized, so that config.json has no place that says so")
        }
    }
}
