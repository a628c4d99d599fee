// A stage's forward pass piece by piece: what a piece makes of some tokens, and where in a batch's state it goes.

internal import LinearAlgebra

extension Forward {
    /// Makes room in a batch's state for what a stage makes of it, and lets go of what no later stage reads.
    public func begin(_ stage: Stage, _ state: inout BatchState) -> StageTarget {
        for value in stage.lastReads { state.values[value] = nil }
        switch stage.destination {
        case .value(let value):
            let result = Operand(uninitialized: compute, state.tokens, value.columns)
            state.values[value] = result
            return .value(result)
        case .residual:
            return .sum(state.residual)
        case .pending:
            let pending = state.pending ?? Matrix(repeating: 0, state.residual.rows, state.residual.columns)
            state.pending = pending
            return .sum(pending)
        case .normalised:
            return .value(.f32(Matrix(uninitialized: state.tokens, state.residual.columns)))
        }
    }

    /// Takes in a result that had to be whole first.
    ///
    /// - Parameter target: what `begin` gave, filled.
    public func end(_ stage: Stage, _ target: StageTarget, _ state: BatchState) throws {
        guard case .normalised(let norm) = stage.destination, case .value(.f32(let whole)) = target else { return }
        try vectors.weights(norm).applyInPlace(whole)
        add(whole, to: state.residual)
    }

    /// Room for what some pieces of a stage make of some tokens before it is taken in: [tokens, columns].
    public func output(of stage: Stage, tokens: Int, columns: Int) -> Operand {
        if case .value = stage.destination { Operand(uninitialized: compute, tokens, columns) } else { .f32(Matrix(uninitialized: tokens, columns)) }
    }

    /// What a stage's effect needs besides weights and input.
    ///
    /// - Parameter cache: is told the keys and values of a stage that has such.
    /// - Throws: what the source throws, and `ForwardError` for a tensor of another shape.
    public func context(of stage: Stage, cache: CacheMagnitudes? = nil) throws -> EffectContext {
        let effect = stage.effect
        return EffectContext(
            compute: compute, rotations: rotations,
            norms: Dictionary(uniqueKeysWithValues: try Set(effect.norms).map { ($0, try vectors.weights($0)) }),
            linears: Dictionary(uniqueKeysWithValues: try Set(effect.ownLinears).map { ($0, try loadWeights($0)) }),
            parameters: Dictionary(uniqueKeysWithValues: try Set(effect.parameters).map { ($0, try vectors.numbers($0)) }), cache: cache)
    }

    /// What a stage's effect reads besides the stage's outputs: of each part [tokens, its columns]. To be asked for before `begin`.
    public func values(read stage: Stage, _ state: BatchState) -> [Operand] {
        stage.effect.reads.map { part in
            guard let value = state.values[part.value] else { preconditionFailure("\(part.value.name) is read before it is there") }
            return value.columns(part.columns)
        }
    }

    /// Computes consecutive pieces for some tokens.
    ///
    /// - Parameters:
    ///   - weights: of each piece those of its parts.
    ///   - input: of the tokens: [tokens, stage.columns].
    ///   - values: of the tokens, what `pieces.reads` says.
    ///   - target: [tokens, columns], the first of which is the pieces' first.
    public func compute(
        _ pieces: [Piece], weights: [[LinearWeights]], _ context: EffectContext, _ input: Operand, values: [Operand] = [], into target: StageTarget
    ) {
        let read = pieces.reads
        let first = pieces.first?.columns.lowerBound ?? 0
        // What can be computed by itself: a piece for as many tokens as pass its weights at once, or a piece that sees all tokens.
        let units = zip(pieces, weights).flatMap { piece, weights in
            let count = piece.effect.seesOtherTokens ? input.rows : weights[0].tokensAtOnce
            return stride(from: 0, to: input.rows, by: count).map { (piece, weights, $0..<min($0 + count, input.rows)) }
        }
        @Sendable func run(_ unit: Int) {
            let (piece, weights, rows) = units[unit]
            let columns = piece.columns.lowerBound - first..<piece.columns.upperBound - first
            var context = context
            context.values = zip(zip(piece.effect.reads, read), values).map { part, value in
                value.rows(rows).columns(part.0.columns.lowerBound - part.1.columns.lowerBound..<part.0.columns.upperBound - part.1.columns.lowerBound)
            }
            piece.effect.compute(weights, input.rows(rows), context, into: target.rows(rows).columns(columns))
        }
        if pieces.contains(where: \.effect.seesOtherTokens) {
            // One by one: the threads share what there is to do in each.
            units.indices.forEach(run)
        } else {
            parallelFor(units.count, run)
        }
    }
}
