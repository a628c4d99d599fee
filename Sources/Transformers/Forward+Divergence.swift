// How far the predictions of a changed model are from those of the model as it is.

internal import CKernels
internal import LinearAlgebra

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
            let dense = try logits(reference, tokens, head)
            let probabilities = dense.copy()
            let ofTokens = Matrix<Double>(repeating: 0, tokens.count, 2)
            forEachRowRange(tokens.count) { rows in
                for row in rows {
                    ofTokens.row(row)[0] = cleave_log_sum_exp(dense.row(row), dense.columns)
                    cleave_softmax(probabilities.row(row), probabilities.columns, 1)
                }
            }
            for (index, state) in states.enumerated() {
                let changed = try logits(state, tokens, head)
                forEachRowRange(tokens.count) { rows in
                    for row in rows {
                        let difference = weightedDifference(probabilities.row(row), dense.row(row), changed.row(row), dense.columns)
                        ofTokens.row(row)[1] = difference + cleave_log_sum_exp(changed.row(row), changed.columns) - ofTokens.row(row)[0]
                    }
                }
                for row in 0..<tokens.count { sums[index] += ofTokens.row(row)[1] }
            }
        }
        return sums
    }
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
