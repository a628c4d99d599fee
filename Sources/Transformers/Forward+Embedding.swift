// The beginning of the forward pass: token ids to the residual stream.

internal import CKernels
internal import LinearAlgebra

extension Forward {
    /// The residual stream at the first block's input.
    ///
    /// - Parameter sequences: token ids of whole sequences.
    /// - Throws: `ForwardError` for ids outside the vocabulary and sequences longer than learned positions; what the source throws.
    public func embed(_ sequences: [[Int32]]) throws -> BatchState {
        try check(sequences)
        let ids = sequences.flatMap { $0 }
        let residual = Matrix<Float>(uninitialized: ids.count, architecture.hiddenSize)
        try source.rows(architecture.embedding.tokens, ids, into: residual)
        if let scale = architecture.embedding.scale {
            let factor =
                switch scale {
                case .number(let number): number
                case .rounded(let number, let type): (type ?? source.type(of: architecture.embedding.tokens)).rounded(number)
                }
            forEachRowRange(residual.rows) { rows in
                for row in rows { cleave_scale(residual.row(row), residual.columns, factor) }
            }
        }
        let state = BatchState(lengths: sequences.map(\.count), residual: residual)
        if let positions = architecture.embedding.positions {
            let longest = state.lengths.max() ?? 0
            let rows = Matrix<Float>(uninitialized: longest, architecture.hiddenSize)
            try source.rows(positions.tensor, (0..<longest).map { Int32($0 + positions.offset) }, into: rows)
            for range in state.ranges { add(rows.rows(0..<range.count), to: residual.rows(range)) }
        }
        if let norm = architecture.embedding.norm { try vectors.weights(norm).applyInPlace(residual) }
        return state
    }

    private func check(_ sequences: [[Int32]]) throws(ForwardError) {
        let size = architecture.vocabularySize
        for (index, sequence) in sequences.enumerated() {
            guard !sequence.isEmpty else { throw .emptySequence(sequence: index) }
            if architecture.embedding.isBounded, sequence.count > architecture.maximumPositions {
                throw .sequenceTooLong(sequence: index, length: sequence.count, maximumPositions: architecture.maximumPositions)
            }
            if let position = sequence.firstIndex(where: { $0 < 0 || Int($0) >= size }) {
                throw .tokenOutOfRange(sequence: index, position: position, id: sequence[position], vocabularySize: size)
            }
        }
    }
}
