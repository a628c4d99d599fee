// How many tokens of every batch go to every expert, as all ranks know it.

internal import MessagePassing

/// The places of tokens in the lists of experts. An expert's list has the tokens of all batches in the order of batches, and so the same order on any ranks.
package struct TokenCounts: Sendable {
    private let experts: Int
    /// For each batch and expert the expert's tokens in earlier batches, then those of all: [batches + 1, experts].
    private let before: [Int32]

    /// Collective.
    ///
    /// - Parameters:
    ///   - own: this rank's batches, from number `first` on.
    ///   - batches: those of all ranks.
    init(_ own: [BatchTokens], first: Int, batches: Int, experts: Int, world: Communicator) throws {
        var counts = [Int32](repeating: 0, count: batches * experts)
        for (index, tokens) in own.enumerated() {
            for expert in 0..<experts { counts[(first + index) * experts + expert] = Int32(tokens.count(of: expert)) }
        }
        try world.allReduceSum(&counts)
        var before = [Int32](repeating: 0, count: (batches + 1) * experts)
        for batch in 0..<batches {
            for expert in 0..<experts { before[(batch + 1) * experts + expert] = before[batch * experts + expert] + counts[batch * experts + expert] }
        }
        (self.experts, self.before) = (experts, before)
    }

    /// The tokens of an expert.
    package func total(_ expert: Int) -> Int { Int(before[before.count - experts + expert]) }

    package var totals: [Int] { (0..<experts).map(total) }

    /// The places in an expert's list of the tokens of consecutive batches.
    func places(of batches: Range<Int>, expert: Int) -> Range<Int> {
        Int(before[batches.lowerBound * experts + expert])..<Int(before[batches.upperBound * experts + expert])
    }
}
