// The tokens of a batch by the expert that they go to.

internal import LinearAlgebra
internal import Transformers

/// For each expert of a mixture the tokens of one batch that go there, ascending.
package struct BatchTokens: Sendable {
    /// Where each expert's tokens begin, and the end.
    private let starts: [Int]
    /// Rows of the batch.
    private let tokens: [Int32]
    /// Of each, what the expert's output weighs; empty where there is no output.
    private let weights: [Float]
    /// What the input of a token is multiplied with for each expert, [tokens, experts]; nil: nothing.
    let inputWeights: Matrix<Float>?

    init(_ route: Route, experts: Int) {
        var counts = [Int](repeating: 0, count: experts + 1)
        for token in 0..<route.tokens { for choice in 0..<route.chosen { counts[Int(route.experts[token, choice]) + 1] += 1 } }
        for expert in 0..<experts { counts[expert + 1] += counts[expert] }
        starts = counts
        var tokens = [Int32](repeating: 0, count: counts[experts]), weights = [Float](repeating: 0, count: counts[experts])
        for token in 0..<route.tokens {
            for choice in 0..<route.chosen {
                let expert = Int(route.experts[token, choice])
                (tokens[counts[expert]], weights[counts[expert]]) = (Int32(token), route.weights[token, choice])
                counts[expert] += 1
            }
        }
        (self.tokens, self.weights) = (tokens, weights)
        inputWeights = route.inputWeights
    }

    /// Those of `routed` and more, for sums alone.
    ///
    /// - Parameter others: of each expert, ascending tokens that may be among its own.
    package init(_ routed: BatchTokens, and others: [some Collection<Int32>]) {
        var starts = [0], tokens: [Int32] = []
        // Not twice as many, as an array that grows has room for: of many experts they are as many tokens again for each.
        starts.reserveCapacity(others.count + 1)
        tokens.reserveCapacity(others.reduce(routed.tokens.count) { $0 + $1.count })
        for (expert, others) in others.enumerated() {
            // Both ascend; a token that is in both counts once.
            var own = routed.tokens(of: expert), others = others[...]
            while let first = own.first, let other = others.first {
                tokens.append(min(first, other))
                if first <= other { own.removeFirst() }
                if other <= first { others.removeFirst() }
            }
            tokens += own
            tokens += others
            starts.append(tokens.count)
        }
        (self.starts, self.tokens, weights) = (starts, tokens, [])
        inputWeights = routed.inputWeights
    }

    func count(of expert: Int) -> Int { starts[expert + 1] - starts[expert] }
    func tokens(of expert: Int) -> ArraySlice<Int32> { tokens[starts[expert]..<starts[expert + 1]] }
    func weights(of expert: Int) -> ArraySlice<Float> { weights[starts[expert]..<starts[expert + 1]] }
}
