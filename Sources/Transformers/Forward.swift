// The forward pass, one stage of one batch at a time.

internal import LinearAlgebra

/// Runs batches through a model by stage. It knows blocks and stages; what makes a family of models is in the architecture.
///
/// The same batch gives the same bits for any number of threads. For each block and stage: `input`, then `apply`, in order; then `finishBlock`. Where a
/// stage's pieces are computed in several places, `begin`, `compute` and `end` take the place of `apply`.
public struct Forward: Sendable {
    public let architecture: Architecture
    public let compute: Compute
    let source: any ParameterSource
    let vectors: VectorCache
    let rotations = RotationTables()

    public init(architecture: Architecture, compute: Compute, source: any ParameterSource) {
        self.architecture = architecture
        self.compute = compute
        self.source = source
        vectors = VectorCache(source)
    }

    /// What a stage multiplies its weights with: [tokens, stage.columns], without gaps between the rows.
    ///
    /// - Throws: what the source throws, and `ForwardError` for a norm's tensor of another shape.
    public func input(of stage: Stage, _ state: BatchState) throws -> Operand { try input(stage.input, state) }

    func input(_ input: StageInput, _ state: BatchState) throws -> Operand {
        if let found = state.values[input.value] { return found }
        guard let norm = input.norm else { preconditionFailure("\(input.value.name) is read before it is there") }
        let weights = try vectors.weights(norm)
        guard let source = input.source else { return weights.apply(to: state.residual, compute: compute) }
        guard let value = state.values[source.value] else { preconditionFailure("\(source.value.name) is read before it is there") }
        return weights.apply(to: value.columns(source.columns).widened(), compute: compute)
    }

    /// Runs a stage's linears on its input and lets the outputs take effect.
    ///
    /// - Parameters:
    ///   - weights: of each of the stage's linears, in the compute type.
    ///   - input: what `input(of:_:)` gave.
    public func apply(_ stage: Stage, weights: [LinearWeights], to input: Operand, _ state: inout BatchState) throws {
        try apply(stage, pieces: stage.pieces, weights: weights, to: input, &state)
    }

    package func apply(_ stage: Stage, pieces: [Piece], weights: [LinearWeights], to input: Operand, _ state: inout BatchState) throws {
        check(stage, weights)
        let context = try context(of: stage)
        let parts = pieces.map { $0.parts.map { weights[$0.linear].rows($0.rows) } }
        let values = values(read: stage, state)
        let result = begin(stage, &state)
        for tokens in tokenRanges(of: stage, state.lengths) {
            compute(pieces, weights: parts, context, input.rows(tokens), values: values.map { $0.rows(tokens) }, into: result.rows(tokens))
        }
        try end(stage, result, state)
    }

    /// Ends a block: what was pending joins the residual stream.
    public func finishBlock(_ state: inout BatchState) {
        if let sum = state.expertSum { sum.join(state.pending ?? state.residual) }
        if let pending = state.pending { add(pending, to: state.residual) }
        state.pending = nil
        state.expertSum = nil
        state.values = [:]
    }

    private func check(_ stage: Stage, _ weights: [LinearWeights]) {
        precondition(weights.count == stage.linears.count, "\(weights.count) weights for the \(stage.linears.count) linears of \(stage.name)")
        for (linear, given) in zip(stage.linears, weights) {
            let found = given.shape
            precondition(found == (linear.rows, linear.columns), "\(found) weights for \(linear.rows) x \(linear.columns) of \(linear.name)")
        }
    }

    /// The tokens of a batch that pass a stage at once: a sequence where there is attention, else some of any.
    ///
    /// - Parameter lengths: of the batch's sequences.
    public func tokenRanges(of stage: Stage, _ lengths: [Int]) -> [Range<Int>] {
        let tokens = lengths.reduce(0, +)
        return stage.effect.seesOtherTokens ? BatchState.ranges(lengths) : chunks(tokens)
    }

    func chunks(_ tokens: Int, of size: Int = Stage.chunkTokens) -> [Range<Int>] {
        (0..<tokens).cut(every: size)
    }
}
