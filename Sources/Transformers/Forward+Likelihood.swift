// The end of the forward pass: residual stream to logits and likelihoods.

internal import CKernels
public import LinearAlgebra

extension Forward {
    /// Tokens whose logits exist at once: [tokens, vocabulary] is the largest buffer.
    static let logitTokens = 256

    /// The negative log-likelihood of each sequence in nats: the sum over its length - 1 predictions of the next token.
    ///
    /// - Parameters:
    ///   - sequences: the ids that `state` began from.
    ///   - head: the weights of `architecture.head.linear`.
    ///   - logits: is given those of some tokens after the other: [tokens, vocabulary].
    public func negativeLogLikelihood(
        of sequences: [[Int32]], _ state: BatchState, head: LinearWeights, _ logits: (_ tokens: Range<Int>, Matrix<Float>) throws -> Void = { _, _ in }
    ) throws -> [Double] {
        precondition(sequences.map(\.count) == state.lengths, "ids of other sequences than the state's")
        // The last token of a sequence predicts nothing.
        let targets = sequences.flatMap { $0.dropFirst() + [-1] }
        let losses = Matrix<Double>(repeating: 0, state.tokens, 1)
        try forEachLogits(state, head) { tokens, found in
            forEachRowRange(found.rows) { rows in
                for row in rows {
                    let token = tokens.lowerBound + row
                    guard targets[token] >= 0 else { continue }
                    let line = found.row(row)
                    losses.base[token] = cleave_log_sum_exp(line, found.columns) - Double(line[Int(targets[token])])
                }
            }
            try logits(tokens, found)
        }
        return state.ranges.map { range in range.reduce(0) { $0 + losses.base[$1] } }
    }

    /// The logits of every token: [tokens, vocabulary].
    public func logits(_ state: BatchState, head: LinearWeights) throws -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: state.tokens, architecture.vocabularySize)
        try forEachLogits(state, head) { tokens, logits in result.rows(tokens).assign(logits) }
        return result
    }

    private func forEachLogits(_ state: BatchState, _ head: LinearWeights, _ body: (Range<Int>, Matrix<Float>) throws -> Void) throws {
        for tokens in chunks(state.tokens, of: Self.logitTokens) { try body(tokens, try logits(state, tokens, head)) }
    }

    /// The logits of some tokens: [tokens.count, vocabulary].
    func logits(_ state: BatchState, _ tokens: Range<Int>, _ head: LinearWeights) throws -> Matrix<Float> {
        let norm = try vectors.weights(architecture.finalNorm)
        let logits = head.apply(to: norm.apply(to: state.residual.rows(tokens), compute: compute))
        architecture.head.finish(logits)
        return logits
    }
}

extension Head {
    /// Scales and caps logits in place: [tokens, vocabulary].
    fileprivate func finish(_ logits: Matrix<Float>) {
        guard scale != nil || softcap != nil else { return }
        forEachRowRange(logits.rows) { rows in
            for row in rows {
                if let scale { cleave_scale(logits.row(row), logits.columns, scale) }
                if let softcap { cleave_softcap(logits.row(row), logits.columns, 1 / softcap, softcap) }
            }
        }
    }
}
