// How far the predictions of a model are from those of another, or from its own before its weights changed.

internal import CKernels
public import LinearAlgebra

extension Forward {
    /// The Kullback-Leibler divergence of predictions from those of a reference, in nats: of each state the sum over its tokens of KL(reference || state).
    ///
    /// - Parameters:
    ///   - states: at the model's end, of the same tokens as `reference`.
    ///   - head: the weights of `architecture.head.linear`.
    public func divergences(of states: [BatchState], from reference: BatchState, head: LinearWeights) throws -> [Double] {
        precondition(states.allSatisfy { $0.tokens == reference.tokens }, "states of other tokens than the reference's")
        var sums = [Double](repeating: 0, count: states.count)
        for tokens in chunks(reference.tokens, of: Self.logitTokens) {
            let predictions = Predictions(try logits(reference, tokens, head))
            for (index, state) in states.enumerated() { sums[index] = predictions.divergences(of: try logits(state, tokens, head)).reduce(sums[index], +) }
        }
        return sums
    }

    /// Adds what another model predicts after some tokens to a comparison of the two, of which this one is the reference.
    ///
    /// - Parameters:
    ///   - others: the other model's logits of the tokens: [tokens.count, vocabulary].
    ///   - state: at this model's end, of the same tokens.
    ///   - head: this model's weights of `architecture.head.linear`.
    ///   - sums: KL(this || other) in nats, and how many tokens have the same most likely follower in both.
    public func compare(
        _ others: Matrix<Float>, _ tokens: Range<Int>, with state: BatchState, head: LinearWeights, addingTo sums: inout (divergence: Double, sameChoices: Int)
    ) throws {
        let predictions = Predictions(try logits(state, tokens, head))
        sums.divergence = predictions.divergences(of: others).reduce(sums.divergence, +)
        sums.sameChoices += zip(predictions.choices, mostLikely(others)).count { $0 == $1 }
    }
}

/// What a model predicts after each of some tokens, for other predictions to be held against.
private struct Predictions {
    /// [tokens, vocabulary]
    private let logits, probabilities: Matrix<Float>
    /// log sum exp of each token's logits: [tokens, 1]
    private let logSums: Matrix<Double>

    init(_ logits: Matrix<Float>) {
        let probabilities = logits.copy(), logSums = Matrix<Double>(repeating: 0, logits.rows, 1)
        forEachRowRange(logits.rows) { rows in
            for row in rows {
                logSums.base[row] = cleave_log_sum_exp(logits.row(row), logits.columns)
                cleave_softmax(probabilities.row(row), probabilities.columns, 1)
            }
        }
        (self.logits, self.probabilities, self.logSums) = (logits, probabilities, logSums)
    }

    /// The most likely follower of each token.
    var choices: [Int] { mostLikely(logits) }

    /// KL(these || others) = sum of p (log p - log q), for each token in nats.
    func divergences(of others: Matrix<Float>) -> [Double] {
        let found = Matrix<Double>(repeating: 0, logits.rows, 1)
        forEachRowRange(logits.rows) { rows in
            for row in rows {
                let difference = weightedDifference(probabilities.row(row), logits.row(row), others.row(row), logits.columns)
                found.base[row] = difference + cleave_log_sum_exp(others.row(row), others.columns) - logSums.base[row]
            }
        }
        return (0..<found.rows).map { found.base[$0] }
    }
}

/// The place of the largest logit of each row, of equal ones the first; logits: [tokens, vocabulary].
private func mostLikely(_ logits: Matrix<Float>) -> [Int] {
    let found = Matrix<Double>(repeating: 0, logits.rows, 1)
    forEachRowRange(logits.rows) { rows in
        for row in rows {
            let line = logits.row(row)
            var best = 0
            for column in 0..<logits.columns where line[column] > line[best] { best = column }
            found.base[row] = Double(best)
        }
    }
    return (0..<found.rows).map { Int(found.base[$0]) }
}

/// The sum of p (x - y); lanes are added in the same order whatever the CPU.
private func weightedDifference(_ p: UnsafeMutablePointer<Float>, _ x: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int) -> Double {
    var lanes = SIMD8<Double>(repeating: 0)
    let whole = count / 8 * 8
    func eight(_ values: UnsafeMutablePointer<Float>, _ index: Int) -> SIMD8<Float> {
        UnsafeRawPointer(values + index).loadUnaligned(as: SIMD8<Float>.self)
    }
    for index in stride(from: 0, to: whole, by: 8) { lanes += SIMD8<Double>(eight(p, index) * (eight(x, index) - eight(y, index))) }
    return (whole..<count).reduce(lanes.sum()) { $0 + Double(p[$1] * (x[$1] - y[$1])) }
}
