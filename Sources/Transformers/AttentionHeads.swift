// Causal attention of one sequence, blocked over query rows.

internal import CKernels
internal import LinearAlgebra

/// The queries, keys and values of one sequence.
struct AttentionHeads: Sendable {
    /// Query rows of a unit of work: its scores stay in cache, and of the keys after the diagonal it computes few.
    static let blockRows = 128

    private let attention: Attention
    private let tokens: Int
    /// The outputs of the stage's linears, prepared, in the type of the products: [tokens, rows of the linear].
    private let operands: [Operand]

    /// Normalises and rotates queries and keys.
    ///
    /// - Parameter outputs: of each linear of the stage, [tokens, rows of the linear]; changed in place.
    init(
        _ attention: Attention, outputs: [Matrix<Float>], queryNorm: NormWeights?, keyNorm: NormWeights?, rotation: RotationTable?,
        compute: Compute
    ) {
        let tokens = outputs[0].rows
        let operands = outputs.map { compute == .f32 ? .f32($0) : Operand(uninitialized: compute, tokens, $0.columns) }
        let queries = (0..<attention.heads).map { attention.place(.query, head: $0) }
        let keys = (0..<attention.keyValueHeads).map { attention.place(.key, head: $0) }
        forEachRowRange(tokens) { rows in
            for (places, norm) in [(queries, queryNorm), (keys, keyNorm)] {
                for place in places {
                    for row in rows {
                        let head = outputs[place.output].row(row) + place.columns.lowerBound
                        norm?.apply(to: head, into: head)
                        rotation?.rotate(head, position: row)
                    }
                }
            }
            guard compute != .f32 else { return }
            for (output, operand) in zip(outputs, operands) { operand.rows(rows).store(output.rows(rows)) }
        }
        self.attention = attention
        self.tokens = tokens
        self.operands = operands
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
        let scores = product(operand(.query, head, rows), operand(.key, shared, seen), transposeB: true)
        for (index, row) in rows.enumerated() {
            let visible = firstKey(of: row) - seen.lowerBound..<row + 1 - seen.lowerBound
            let line = scores.row(index)
            line.update(repeating: 0, count: visible.lowerBound)
            cleave_softmax(line + visible.lowerBound, visible.count, attention.scale)
            (line + visible.upperBound).update(repeating: 0, count: seen.count - visible.upperBound)
        }
        let probabilities: Operand =
            switch operands[0] {
            case .f32: .f32(scores)
            case .bf16: Operand(scores, compute: .bf16)
            }
        return product(probabilities, operand(.value, shared, seen))
    }

    private func operand(_ role: Attention.Role, _ head: Int, _ rows: Range<Int>) -> Operand {
        let place = attention.place(role, head: head)
        return operands[place.output].rows(rows).columns(place.columns)
    }

    /// The first token that a token attends to.
    private func firstKey(of row: Int) -> Int {
        attention.window.map { max(0, row - $0 + 1) } ?? 0
    }
}
