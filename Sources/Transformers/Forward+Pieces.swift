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

    /// Computes pieces for some tokens where their results belong.
    ///
    /// - Parameters:
    ///   - weights: of each piece those of its parts.
    ///   - norms: of the stage.
    ///   - input: of the tokens: [tokens, stage.columns].
    ///   - tokens: one of `tokenRanges(of:_:)`.
    public func compute(_ pieces: [Piece], weights: [[LinearWeights]], _ norms: HeadNorms, _ input: Operand, into result: StageResult, tokens: Range<Int>) {
        forEachUnit(pieces, weights, input) { piece, weights, input, rows in
            let tokens = tokens.lowerBound + rows.lowerBound..<tokens.lowerBound + rows.upperBound
            switch result {
            case .carried(let whole): compute(piece, weights, norms, input, into: whole.rows(tokens).columns(piece.columns))
            case .added(let stream): add(weights[0].apply(to: input), to: stream.rows(tokens).columns(piece.columns))
            }
        }
    }

    /// Computes consecutive pieces for some tokens.
    ///
    /// - Parameter target: what `output(of:tokens:columns:)` gave: [tokens, columns of the pieces].
    public func compute(_ pieces: [Piece], weights: [[LinearWeights]], _ norms: HeadNorms, _ input: Operand, into target: Operand) {
        let first = pieces.first?.columns.lowerBound ?? 0
        forEachUnit(pieces, weights, input) { piece, weights, input, rows in
            let columns = piece.columns.lowerBound - first..<piece.columns.upperBound - first
            compute(piece, weights, norms, input, into: target.rows(rows).columns(columns))
        }
    }

    /// Runs `body` on what can be computed by itself, over the rank's threads: a piece for as many tokens as pass its weights at once, or a piece that sees
    /// all tokens.
    private func forEachUnit(
        _ pieces: [Piece], _ weights: [[LinearWeights]], _ input: Operand,
        _ body: @Sendable (_ piece: Piece, _ weights: [LinearWeights], _ input: Operand, _ rows: Range<Int>) -> Void
    ) {
        let units = zip(pieces, weights).flatMap { piece, weights in
            let count = piece.seesAllTokens ? input.rows : weights[0].tokensAtOnce
            return stride(from: 0, to: input.rows, by: count).map { (piece, weights, $0..<min($0 + count, input.rows)) }
        }
        @Sendable func run(_ unit: Int) {
            let (piece, weights, rows) = units[unit]
            body(piece, weights, input.rows(rows), rows)
        }
        if pieces.contains(where: \.seesAllTokens) {
            // One by one: the threads share what there is to do in each.
            units.indices.forEach(run)
        } else {
            parallelFor(units.count, run)
        }
    }

    /// - Parameter target: [tokens, columns of the piece].
    private func compute(_ piece: Piece, _ weights: [LinearWeights], _ norms: HeadNorms, _ input: Operand, into target: Operand) {
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

extension Piece {
    /// Whether a token's result depends on other tokens.
    fileprivate var seesAllTokens: Bool {
        if case .attention = effect { true } else { false }
    }
}
