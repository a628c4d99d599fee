// A mixture of experts as data: the end of a block in which each token passes a few of many feed-forward networks.

/// The experts of a block. Each is two stages of the block, the first of which reads the tokens that the router sends there; the outputs, weighted, join
/// what the block adds at its end.
public struct Mixture: Sendable, Hashable {
    public let router: Router
    /// What router and experts read.
    public let input: StageInput
    /// The place in the block's stages of the first expert's first; those of all others follow.
    public let firstStage: Int

    /// Stages of an expert.
    public static let stagesOfExpert = 2

    public var experts: Int { router.experts }

    /// The places of an expert's stages in the block.
    public func stages(of expert: Int) -> Range<Int> {
        let first = firstStage + expert * Self.stagesOfExpert
        return first..<first + Self.stagesOfExpert
    }
}
