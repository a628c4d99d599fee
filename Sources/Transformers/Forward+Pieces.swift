// A stage's forward pass piece by piece: what a piece makes of some tokens, and where in a batch's state it goes.

internal import CKernels
public import LinearAlgebra

/// What a stage makes of a batch, as its pieces fill it in. It shares its memory with the batch's state.
public enum StageResult: Sendable {
    /// Carried to the next stage: [tokens, columns], in the compute type.
    case carried(Operand)
    /// A stream to which outputs are added: [tokens, hidden].
    case added(Matrix<Float>)

    /// Takes in what some pieces made of some tokens elsewhere.
    ///
    /// - Parameter values: [tokens, columns], in the type of `Forward.output`.
    public func take(_ values: Operand, tokens: Range<Int>, columns: Range<Int>) {
        switch (self, values) {
        case (.carried(let whole), _): whole.rows(tokens).columns(columns).assign(values)
        case (.added(let stream), .f32(let values)): add(values, to: stream.rows(tokens).columns(columns))
        case (.added, .bf16): preconditionFailure("outputs in bf16 for a stream in fp32")
        }
    }
}

extension Forward {
    /// Makes room in a batch's state for what a stage makes of it.
    public func begin(_ stage: Stage, _ state: inout BatchState) -> StageResult {
        state.carried = nil
        switch stage.effect {
        case .attention, .gatedActivation, .activation:
            let result = Operand(uninitialized: compute, state.tokens, stage.pieces.last?.columns.upperBound ?? 0)
            state.carried = result
            return .carried(result)
        case .addToResidual:
            return .added(state.residual)
        case .addToPending:
            let pending = state.pending ?? Matrix(repeating: 0, state.residual.rows, state.residual.columns)
            state.pending = pending
            return .added(pending)
        case .planned:
            preconditionFailure("stage \(stage.name) of a family without a forward pass, which Architecture refuses")
        }
    }

    /// Room for what some pieces of a stage make of some tokens before it is taken in: [tokens, columns].
    public func output(of stage: Stage, tokens: Int, columns: Int) -> Operand {
        switch stage.effect {
        case .attention, .gatedActivation, .activation, .planned: Operand(uninitialized: compute, tokens, columns)
        case .addToResidual, .addToPending: .f32(Matrix(uninitialized: tokens, columns))
        }
    }

    /// Computes a piece for some tokens where its result belongs.
    ///
    /// - Parameters:
    ///   - weights: of each of the piece's parts.
    ///   - norms: of the stage.
    ///   - input: of the tokens: [tokens, stage.columns].
    ///   - tokens: one of `tokenRanges(of:_:)`.
    public func compute(_ piece: Piece, weights: [LinearWeights], _ norms: HeadNorms, _ input: Operand, into result: StageResult, tokens: Range<Int>) {
        switch result {
        case .carried(let whole):
            compute(piece, weights: weights, norms, input, into: whole.rows(tokens).columns(piece.columns))
        case .added(let stream):
            add(weights[0].apply(to: input), to: stream.rows(tokens).columns(piece.columns))
        }
    }

    /// Computes a piece for some tokens.
    ///
    /// - Parameter target: a window of `output(of:tokens:columns:)`: [tokens, columns of the piece].
    public func compute(_ piece: Piece, weights: [LinearWeights], _ norms: HeadNorms, _ input: Operand, into target: Operand) {
        switch piece.effect {
        case .attention(let attention): attend(attention, weights, norms, input, into: target)
        case .gatedActivation(let function): activate(input, weights[0], function, up: weights[1], into: target)
        case .activation(let function): activate(input, weights[0], function, up: nil, into: target)
        // A product of its own and then a copy: the same product, whatever lies beside the target.
        case .addToResidual, .addToPending: target.store(weights[0].apply(to: input))
        case .planned: preconditionFailure("a piece of a family without a forward pass")
        }
    }

    private func activate(_ input: Operand, _ weights: LinearWeights, _ function: ActivationFunction, up: LinearWeights?, into target: Operand) {
        let values = weights.apply(to: input)
        let factors = up?.apply(to: input)
        forEachRowRange(values.rows) { rows in
            for row in rows {
                function.apply(to: values.row(row), count: values.columns)
                if let factors { cleave_multiply(values.row(row), factors.row(row), values.columns) }
            }
            target.rows(rows).store(values.rows(rows))
        }
    }
}
