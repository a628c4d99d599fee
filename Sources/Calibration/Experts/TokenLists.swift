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
    package static func borrowed(_ missing: Int, of tokens: Int, in batch: Range<Int>) -> [Int32] {
        guard missing > 0, tokens > 0, !batch.isEmpty else { return [] }
        let count = min(missing, tokens)
        // The j-th is number (2 j + 1) tokens / (2 count).
        let first = max((2 * count * batch.lowerBound / tokens - 1) / 2 - 1, 0)
        var rows: [Int32] = []
        for index in first..<count {
            let number = (2 * index + 1) * tokens / (2 * count)
            if number >= batch.upperBound { break }
            if number >= batch.lowerBound { rows.append(Int32(number - batch.lowerBound)) }
        }
        return rows
    }
}
