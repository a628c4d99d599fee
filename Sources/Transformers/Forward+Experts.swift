// The forward pass of a mixture of experts: which tokens go where, and what an expert makes of its tokens.

public import LinearAlgebra

extension Forward {
    /// Where the tokens of a batch go.
    ///
    /// - Parameter input: what `input(of:_:)` gave for the mixture: [tokens, hidden].
    /// - Throws: what the source throws, and `ForwardError` for a router of another shape.
    public func route(_ mixture: Mixture, _ input: Operand) throws -> Route {
        let router = mixture.router
        let weight = Matrix<Float>(uninitialized: router.linear.rows, router.linear.columns)
        try loadRows(router.linear, [(0..<router.linear.rows, .f32(weight))])
        let correction = try router.rule.correction.map { try vectors.vector($0, size: router.experts) } ?? []
        return router.route(input.widened(), weights: LinearWeights(weight: .f32(weight), bias: try bias(of: router.linear)), correction: correction)
    }

    /// What a mixture multiplies its weights with: [tokens, hidden].
    public func input(of mixture: Mixture, _ state: BatchState) throws -> Operand { try input(mixture.input, state) }

    /// What a stage makes of tokens that stand by themselves, as those of an expert do.
    ///
    /// - Parameters:
    ///   - weights: of each of the stage's pieces those of its parts.
    ///   - input: [tokens, stage.columns]
    ///   - context: the stage's.
    /// - Returns: [tokens, columns of the result], in the type of `output(of:tokens:columns:)`.
    public func result(of stage: Stage, weights: [[LinearWeights]], _ input: Operand, _ context: EffectContext) -> Operand {
        let pieces = stage.pieces
        let result = output(of: stage, tokens: input.rows, columns: pieces.last?.columns.upperBound ?? 0)
        for tokens in chunks(input.rows) {
            compute(pieces, weights: weights, context, input.rows(tokens), into: .value(result.rows(tokens)))
        }
        return result
    }
}

extension Operand {
    /// The same numbers in fp32; in fp32 they are these themselves.
    public func widened() -> Matrix<Float> {
        switch self {
        case .f32(let matrix): return matrix
        case .bf16(let matrix):
            let wide = Matrix<Float>(uninitialized: matrix.rows, matrix.columns)
            convert(matrix, into: wide)
            return wide
        }
    }
}
