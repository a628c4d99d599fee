// A batch on its way through the model.

public import LinearAlgebra

/// The residual stream of a few whole sequences, and the values that stages have left for later ones.
public struct BatchState: Sendable {
    /// Tokens of each sequence; their rows follow each other.
    public let lengths: [Int]
    /// [tokens, hidden]
    public var residual: Matrix<Float>
    /// What later stages of the block will read: of each, [tokens, columns]. None at a block's end.
    public var values: [Value: Operand]
    /// What the block will add to the residual stream at its end: [tokens, hidden].
    public var pending: Matrix<Float>?
    /// What a mixture of experts adds to that.
    public var expertSum: ExpertSum?

    public init(lengths: [Int], residual: Matrix<Float>, values: [Value: Operand] = [:], pending: Matrix<Float>? = nil) {
        precondition(lengths.reduce(0, +) == residual.rows, "sequences of \(lengths) tokens in \(residual.rows) rows")
        self.lengths = lengths
        self.residual = residual
        self.values = values
        self.pending = pending
    }

    public var tokens: Int { residual.rows }

    /// The rows of each sequence.
    public var ranges: [Range<Int>] { Self.ranges(lengths) }

    /// The rows of sequences that follow each other.
    static func ranges(_ lengths: [Int]) -> [Range<Int>] {
        var end = 0
        return lengths.map { length in
            end += length
            return end - length..<end
        }
    }

    /// A state at a block's boundary that shares no memory with this one, so that both can go on.
    public func copy() -> BatchState {
        precondition(values.isEmpty && pending == nil && expertSum == nil, "a copy in the middle of a block")
        return BatchState(lengths: lengths, residual: residual.copy())
    }
}
