// Which experts of each block are kept when some are taken out.

internal import Failures
internal import Transformers

/// The experts that are kept, as many in each block: config.json has one number for all.
struct ExpertSelection: Sendable, Equatable {
    /// Experts of a block of the source.
    let experts: Int
    /// By blocks, ascending.
    let kept: [Int: [Int]]

    /// Experts of a block of the result.
    var keptCount: Int { kept.values.first?.count ?? experts }

    /// How many of a block's experts a share keeps: as many of each group, since routers have groups of one size.
    ///
    /// - Throws: `PipelineError` where a token has more experts than are kept.
    static func count(_ share: Double, of router: Router) throws -> Int {
        let perGroup = max(Int((share * Double(router.experts) / Double(router.groups)).rounded()), 1), count = perGroup * router.groups
        guard count >= router.chosen else {
            throw PipelineError(
                .badInput,
                "--keep \(share) leaves \(count) of \(router.experts) experts behind \(router.linear.name), fewer than the \(router.chosen) of a token")
        }
        return count
    }

    /// Keeps those of the best scores, the first among equals.
    ///
    /// - Parameter scores: of each block with experts, those of its experts.
    init(_ architecture: Architecture, share: Double, scores: [Int: [Double]]) throws {
        let mixtures = architecture.blocks.compactMap(\.mixture)
        experts = mixtures.first?.experts ?? 0
        kept = try scores.reduce(into: [:]) { kept, block in
            guard let router = architecture.blocks[block.key].mixture?.router else { return }
            let count = try Self.count(share, of: router), size = router.experts / router.groups
            kept[block.key] = (0..<router.groups).flatMap { group -> [Int] in
                let best = (group * size..<(group + 1) * size).sorted { (-block.value[$0], $0) < (-block.value[$1], $1) }
                return best.prefix(count / router.groups).sorted()
            }
        }
    }
}
