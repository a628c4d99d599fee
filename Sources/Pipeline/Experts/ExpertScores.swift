// How much the experts of a block add to what passes them: REAP's score.

internal import LinearAlgebra
internal import MessagePassing

/// For each expert j the mean of g_j |f_j(x)| over the tokens x that go to it, with its weight g_j and the length of its output f_j.
///
/// Source: Lasby et al. 2025, REAP (arXiv 2510.13999), section 4. Sums are kept by batch, and added in the order of batches at the end: the same bits on any number of
/// ranks.
final class ExpertScores {
    private let experts: Int
    /// Over the tokens of a batch: [batches, experts], each number on the rank that has the batch, and 0 elsewhere.
    private var lengths: [Double]
    private var tokens: [Double]

    /// - Parameter batches: those of all ranks.
    init(batches: Int, experts: Int) {
        self.experts = experts
        lengths = Array(repeating: 0, count: batches * experts)
        tokens = lengths
    }

    /// Some outputs of an expert, multiplied with its weights: [tokens, hidden].
    func add(_ outputs: Matrix<Float>, batch: Int, expert: Int) {
        let place = batch * experts + expert
        for row in 0..<outputs.rows {
            var sum = 0.0
            for column in 0..<outputs.columns { sum += Double(outputs[row, column]) * Double(outputs[row, column]) }
            lengths[place] += sum.squareRoot()
        }
        tokens[place] += Double(outputs.rows)
    }

    /// The score of each expert, 0 where no token goes, and its tokens. Collective.
    func means(_ world: Communicator) throws -> [(score: Double, tokens: Int)] {
        try world.allReduceSum(&lengths)
        try world.allReduceSum(&tokens)
        return (0..<experts).map { expert in
            let places = stride(from: expert, to: lengths.count, by: experts)
            let count = places.reduce(0) { $0 + tokens[$1] }
            return (places.reduce(0) { $0 + lengths[$1] } / max(count, 1), Int(count))
        }
    }
}
