// The experts of a model that GGUF can hold: what all blocks that have some have in common.

package import Transformers

package struct GGUFExperts: Sendable, Equatable {
    package let count: Int
    /// Of a token.
    package let chosen: Int
    /// Rows of an expert's gate.
    package let intermediateSize: Int
    /// Rows of the gate of the network beside them that every token passes; nil: there is none.
    package let sharedSize: Int?
    /// Blocks without experts, before those that have some.
    package let denseBlocks: Int
    package let normalises: Bool
    /// Factor of the weights.
    package let scale: Float
    package let scores: RouterRule.Scores
    /// Groups of experts, of which a token's come from a few.
    package let groups: RouterRule.Groups?

    /// - Throws: `PipelineError` naming what llama.cpp would compute otherwise.
    init?(_ architecture: Architecture, _ family: GGUFFamily) throws {
        guard architecture.hasExperts else { return nil }
        let dense = architecture.blocks.prefix { $0.mixture == nil }.count
        guard dense == 0 || family.mayBeginDense, architecture.blocks.dropFirst(dense).allSatisfy({ $0.mixture != nil }) else {
            throw beyondGGUF("blocks without experts among those that have some")
        }
        let all = architecture.blocks.compactMap { block in block.mixture.map { GGUFExperts(block, $0, denseBlocks: dense) } }
        guard let first = all.first, all.allSatisfy({ $0 == first }) else { throw beyondGGUF("blocks whose experts differ") }
        if let normalises = family.normalisesExperts, normalises != first.normalises {
            throw beyondGGUF("`norm_topk_prob: \(first.normalises)`, which llama.cpp does not compute in its architecture \(family.architecture)")
        }
        if let groups = first.groups, groups.measure != .sumOfTwoLargest {
            throw beyondGGUF("groups of experts chosen by the best of each (`topk_method: group_limited_greedy`): llama.cpp adds up the best two")
        }
        self = first
    }

    private init(_ block: Block, _ mixture: Mixture, denseBlocks: Int) {
        let rule = mixture.router.rule
        (count, chosen, normalises, scale, scores, groups) = (mixture.experts, mixture.router.chosen, rule.normalises, rule.scale, rule.scores, rule.groups)
        intermediateSize = block.stages[mixture.firstStage].linears[0].rows
        sharedSize = block.denseStages.last { $0.input == mixture.input }?.linears[0].rows
        self.denseBlocks = denseBlocks
    }
}
