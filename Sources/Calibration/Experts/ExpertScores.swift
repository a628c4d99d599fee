// How much the experts of a block add to what passes them: REAP's score.

internal import LinearAlgebra
package import MessagePassing

/// For each expert j the mean of g_j |f_j(x)| over the tokens x that go to it, with its weight g_j and the length of its output f_j.
///
/// Source: Lasby et al. 2025, REAP (arXiv 2510.13999), section 4. Sums are kept by batch, and added in the order of batches at the end: the same bits on any number of
/// ranks.
package final class ExpertScores {
    private let experts: Int
    /// Over the tokens of a batch: [batches, experts], each number on the rank that has the batch, and 0 elsewhere.
    private var lengths: [Double]
    private var tokens: [Double]

    /// - Parameter batches: those of all ranks.
    package init(batches: Int, experts: Int) {
        self.experts = experts
        lengths = Array(repeating: 0, count: batches * experts)
        tokens = lengths
    }

    /// Some outputs of an expert, multiplied with its weights: [tokens, hidden].
    func add(_ outputs: Matrix<Float>, batch: Int, expert: Int) {
        let place = batch * experts + expert
        let own = Matrix<Double>(uninitialized: 1, outputs.rows)
        parallelFor(outputs.rows, inUnitsOf: 16) { rows in
            for row in rows {
                let output = outputs.row(row)
                own[0, row] = (0..<outputs.columns).reduce(0.0) { $0 + Double(output[$1]) * Double(output[$1]) }.squareRoot()
            }
        }
        for row in 0..<outputs.rows { lengths[place] += own[0, row] }
        tokens[place] += Double(outputs.rows)
    }

    /// The score of each expert, 0 where no token goes, and its tokens. Collective.
    package func means(_ world: Communicator) throws -> [(score: Double, tokens: Int)] {
        try world.allReduceSum(&lengths)
        try world.allReduceSum(&tokens)
        return (0..<experts).map { expert in
            let places = stride(from: expert, to: lengths.count, by: experts)
            let count = places.reduce(0) { $0 + tokens[$1] }
            return (places.reduce(0) { $0 + lengths[$1] } / max(count, 1), Int(count))
        }
    }
}
