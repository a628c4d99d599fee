// The lists of tokens of all experts of a mixture: this rank's part of them, and the places that all ranks agree on.

package import MessagePassing

/// Which tokens go to which expert.
package struct TokenLists: Sendable {
    /// Of this rank's batches.
    package let own: [BatchTokens]
    package let counts: TokenCounts

    /// Collective.
    ///
    /// - Parameters:
    ///   - first: the number of this rank's first batch.
    ///   - batches: those of all ranks.
    package init(_ own: [BatchTokens], first: Int, batches: Int, experts: Int, world: Communicator) throws {
        self.own = own
        counts = try TokenCounts(own, first: first, batches: batches, experts: experts, world: world)
    }

    /// Tokens of a layer, evenly spaced, that stand in for those that an expert lacks.
    ///
    /// - Parameters:
    ///   - missing: how many of the layer's tokens to take.
    ///   - tokens: of the layer.
    ///   - batch: the layer's numbers of a batch's tokens.
    /// - Returns: rows of the batch, ascending.
    package static func borrowed(_ missing: Int, of tokens: Int, in batch: Range<Int>) -> LazyMapCollection<Range<Int>, Int32> {
        let count = tokens > 0 ? max(min(missing, tokens), 0) : 0
        // The j-th is number (2 j + 1) tokens / (2 count), of which the first that is not below a number x is that of j = ceil(2 count x / tokens) / 2.
        func first(from number: Int) -> Int { count == 0 ? 0 : min((2 * count * number + tokens - 1) / tokens / 2, count) }
        return (first(from: batch.lowerBound)..<first(from: batch.upperBound)).lazy.map {
            Int32((2 * $0 + 1) * tokens / (2 * count) - batch.lowerBound)
        }
    }
}
