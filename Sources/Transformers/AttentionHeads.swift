// Causal attention of one sequence, blocked over query rows.

internal import CKernels
internal import LinearAlgebra

/// The queries, keys and values of one sequence: windows on the outputs of the `qkv` stage.
struct AttentionHeads: Sendable {
    /// Query rows of a unit of work: its scores stay in cache, and of the keys after the diagonal it computes few.
    static let blockRows = 64

    private let attention: Attention
    private let tokens: Int
    /// Each [tokens, headSize].
    private let queries: [Matrix<Float>]
    private let keys: [Matrix<Float>]
    private let values: [Matrix<Float>]

    /// - Parameter outputs: of each linear of the stage, [tokens, rows of the linear].
    init(_ attention: Attention, _ outputs: [Matrix<Float>]) {
        let size = attention.headSize
        func heads(_ count: Int, in output: Int, from first: Int, every step: Int) -> [Matrix<Float>] {
            (0..<count).map { outputs[output].columns((first + $0 * step) * size..<(first + $0 * step + 1) * size) }
        }
        let (count, keyValueCount) = (attention.heads, attention.keyValueHeads)
        switch attention.layout {
        case .separate:
            queries = heads(count, in: 0, from: 0, every: 1)
            keys = heads(keyValueCount, in: 1, from: 0, every: 1)
            values = heads(keyValueCount, in: 2, from: 0, every: 1)
        case .thirds:
            queries = heads(count, in: 0, from: 0, every: 1)
            keys = heads(count, in: 0, from: count, every: 1)
            values = heads(count, in: 0, from: 2 * count, every: 1)
        case .perHead:
            queries = heads(count, in: 0, from: 0, every: 3)
            keys = heads(count, in: 0, from: 1, every: 3)
            values = heads(count, in: 0, from: 2, every: 3)
        }
        self.attention = attention
        tokens = outputs[0].rows
    }

    /// Normalises and rotates queries and keys in place.
    func prepare(_ queryNorm: NormWeights?, _ keyNorm: NormWeights?, _ rotation: RotationTable?) {
        forEachRowRange(tokens) { rows in
            for (heads, norm) in [(queries, queryNorm), (keys, keyNorm)] {
                for head in heads {
                    for row in rows {
                        norm?.apply(to: head.row(row), into: head.row(row))
                        rotation?.rotate(head.row(row), position: row)
                    }
                }
            }
        }
    }

    /// Writes each head's context into its columns of `result`: [tokens, heads * headSize].
    func attend(into result: Operand) {
        let blocks = (tokens + Self.blockRows - 1) / Self.blockRows
        let size = attention.headSize
        // The last blocks see the most keys: they go first, so that no thread ends long after the others.
        parallelFor(blocks * attention.heads) { unit in
            let (block, head) = (blocks - 1 - unit / attention.heads, unit % attention.heads)
            let rows = block * Self.blockRows..<min((block + 1) * Self.blockRows, tokens)
            result.rows(rows).columns(head * size..<(head + 1) * size).store(context(head, rows))
        }
    }

    /// softmax(scale Q K^T) V of some query rows: [rows, headSize].
    private func context(_ head: Int, _ rows: Range<Int>) -> Matrix<Float> {
        let shared = head / (attention.heads / attention.keyValueHeads)
        let seen = firstKey(of: rows.lowerBound)..<rows.upperBound
        let scores = Matrix<Float>(uninitialized: rows.count, seen.count)
        multiply(queries[head].rows(rows), keys[shared].rows(seen), transposeB: true, into: scores, alpha: attention.scale)
        for (index, row) in rows.enumerated() {
            let visible = firstKey(of: row) - seen.lowerBound...row - seen.lowerBound
            let line = scores.row(index)
            line.update(repeating: 0, count: visible.lowerBound)
            cleave_softmax(line + visible.lowerBound, visible.count)
            (line + visible.upperBound + 1).update(repeating: 0, count: seen.count - visible.upperBound - 1)
        }
        let context = Matrix<Float>(uninitialized: rows.count, attention.headSize)
        multiply(scores, values[shared].rows(seen), into: context)
        return context
    }

    /// The first token that a token attends to.
    private func firstKey(of row: Int) -> Int {
        attention.window.map { max(0, row - $0 + 1) } ?? 0
    }
}
