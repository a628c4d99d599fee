// Causal attention of one sequence, blocked over query rows.

internal import CKernels
internal import Glibc
package import LinearAlgebra

/// Softmax attention of the heads of one sequence, each token of which sees itself and what is before it.
package struct CausalHeads: Sendable {
    /// Query rows of a unit of work: its scores stay in cache, and of the keys after the diagonal it computes few.
    static let blockRows = 128

    /// Of each head: [tokens, size of a query]
    let queries: [Operand]
    /// Of each key-value head, which serves as many consecutive heads as there are: [tokens, size of a query] and [tokens, size of a value].
    let keys: [Operand]
    let values: [Operand]
    /// Factor of the scores.
    let scale: Float
    /// A token sees itself and `window - 1` tokens before it; nil: all before it.
    let window: Int?
    /// Scaled scores x become c tanh(x / c); nil: they stay.
    var softcap: Float? = nil
    /// What is added to a head's scaled scores of each key: [heads, tokens]; nil: nothing.
    var biases: Matrix<Float>? = nil
    /// Of each head, a score that no key has, which takes its share of the probabilities; nil: none.
    var sinks: [Float]? = nil

    package init(
        queries: [Operand], keys: [Operand], values: [Operand], scale: Float, window: Int?, softcap: Float? = nil, biases: Matrix<Float>? = nil,
        sinks: [Float]? = nil
    ) {
        (self.queries, self.keys, self.values) = (queries, keys, values)
        (self.scale, self.window, self.softcap, self.biases, self.sinks) = (scale, window, softcap, biases, sinks)
    }

    /// Writes each head's context into its columns of `result`: [tokens, heads * size of a value].
    package func attend(into result: Operand) {
        let tokens = result.rows, size = values[0].columns
        let blocks = (tokens + Self.blockRows - 1) / Self.blockRows
        // The last blocks see the most keys: they go first, so that no thread ends long after the others.
        parallelFor(blocks * queries.count) { unit in
            let (block, head) = (blocks - 1 - unit / queries.count, unit % queries.count)
            let rows = block * Self.blockRows..<min((block + 1) * Self.blockRows, tokens)
            result.rows(rows).columns(head * size..<(head + 1) * size).store(context(head, rows))
        }
    }

    /// softmax(scale Q K^T) V of some query rows: [rows, size of a value].
    private func context(_ head: Int, _ rows: Range<Int>) -> Matrix<Float> {
        let shared = head / (queries.count / keys.count)
        let seen = firstKey(of: rows.lowerBound)..<rows.upperBound
        let scores = product(queries[head].rows(rows), keys[shared].rows(seen), transposeB: true)
        for (index, row) in rows.enumerated() {
            let visible = firstKey(of: row) - seen.lowerBound..<row + 1 - seen.lowerBound
            let line = scores.row(index)
            line.update(repeating: 0, count: visible.lowerBound)
            softmax(line + visible.lowerBound, head, firstKey(of: row)..<row + 1)
            (line + visible.upperBound).update(repeating: 0, count: seen.count - visible.upperBound)
        }
        let probabilities: Operand =
            switch values[shared] {
            case .f32: .f32(scores)
            case .bf16: Operand(scores, compute: .bf16)
            }
        return product(probabilities, values[shared].rows(seen))
    }

    /// A query's scores become probabilities; with a sink they sum to less than 1.
    private func softmax(_ scores: UnsafeMutablePointer<Float>, _ head: Int, _ keys: Range<Int>) {
        let scale = adjust(scores, head, keys)
        guard let sink = sinks?[head] else { return cleave_softmax(scores, keys.count, scale) }
        for index in 0..<keys.count { scores[index] *= scale }
        // sum / (sum + exp(sink)) of the sum of exponentials.
        let share = Float(1 / (1 + exp(Double(sink) - cleave_log_sum_exp(scores, keys.count))))
        cleave_softmax(scores, keys.count, 1)
        for index in 0..<keys.count { scores[index] *= share }
    }

    /// Caps a query's scores and adds its head's biases, where there are any.
    ///
    /// - Returns: by what they are still to be multiplied.
    private func adjust(_ scores: UnsafeMutablePointer<Float>, _ head: Int, _ keys: Range<Int>) -> Float {
        var scale = scale
        if let softcap {
            cleave_softcap(scores, keys.count, scale / softcap, softcap)
            scale = 1
        }
        if let biases {
            cleave_scale_and_add(scores, biases.row(head) + keys.lowerBound, keys.count, scale)
            scale = 1
        }
        return scale
    }

    /// The first token that a token attends to.
    private func firstKey(of row: Int) -> Int {
        window.map { max(0, row - $0 + 1) } ?? 0
    }
}
