// The forward pass, one stage of one batch at a time.

internal import CKernels
internal import LinearAlgebra

/// Runs batches through a model by stage. It knows blocks and stages; what makes a family of models is in the architecture.
///
/// The same batch gives the same bits for any number of threads. For each block and stage: `input`, then `apply`, in order; then `finishBlock`.
public struct Forward: Sendable {
    /// Tokens that pass a linear at once: it bounds the fp32 outputs, and being fixed it keeps the products' shapes, so their bits.
    static let chunkTokens = 1024

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

    /// What a stage multiplies its weights with: [tokens, stage.columns].
    ///
    /// - Throws: what the source throws, and `ForwardError` for a norm's tensor of another shape.
    public func input(of stage: Stage, _ state: BatchState) throws -> Activation {
        switch stage.input {
        case .norm(let norm):
            return try vectors.weights(norm).apply(to: state.residual, compute: compute)
        case .carried:
            guard let carried = state.carried else { preconditionFailure("stage \(stage.name) before the one that leaves its input") }
            return carried
        }
    }

    /// Runs a stage's linears on its input and lets the outputs take effect.
    ///
    /// - Parameters:
    ///   - weights: of each of the stage's linears, in the compute type.
    ///   - input: what `input(of:_:)` gave.
    public func apply(_ stage: Stage, weights: [LinearWeights], to input: Activation, _ state: inout BatchState) throws {
        check(stage, weights)
        state.carried = nil
        switch stage.effect {
        case .attention(let attention):
            state.carried = try attend(attention, weights, input, state.ranges)
        case .gatedActivation(let function):
            state.carried = activate(input, weights[0], function, up: weights[1])
        case .activation(let function):
            state.carried = activate(input, weights[0], function, up: nil)
        case .addToResidual:
            addOutput(input, weights[0], to: state.residual)
        case .addToPending:
            let pending = state.pending ?? Matrix(repeating: 0, state.residual.rows, state.residual.columns)
            addOutput(input, weights[0], to: pending)
            state.pending = pending
        case .planned:
            preconditionFailure("stage \(stage.name) of a family without a forward pass, which Architecture refuses")
        }
    }

    /// Ends a block: what was pending joins the residual stream.
    public func finishBlock(_ state: inout BatchState) {
        if let pending = state.pending { add(pending, to: state.residual) }
        state.pending = nil
        state.carried = nil
    }

    private func check(_ stage: Stage, _ weights: [LinearWeights]) {
        precondition(weights.count == stage.linears.count, "\(weights.count) weights for the \(stage.linears.count) linears of \(stage.name)")
        for (linear, given) in zip(stage.linears, weights) {
            let found = (given.weight.rows, given.weight.columns)
            precondition(found == (linear.rows, linear.columns), "\(found) weights for \(linear.rows) x \(linear.columns) of \(linear.name)")
        }
    }

    /// Runs `body` on each chunk of a batch's tokens.
    func forEachChunk(_ tokens: Int, _ size: Int = chunkTokens, _ body: (Range<Int>) -> Void) {
        for start in stride(from: 0, to: tokens, by: size) { body(start..<min(start + size, tokens)) }
    }

    private func activate(_ input: Operand, _ weights: LinearWeights, _ function: ActivationFunction, up: LinearWeights?) -> Operand {
        let result = Operand(uninitialized: compute, input.rows, weights.weight.rows)
        forEachChunk(input.rows) { chunk in
            let values = weights.apply(to: input.rows(chunk))
            let factors = up?.apply(to: input.rows(chunk))
            forEachRowRange(values.rows) { rows in
                for row in rows {
                    function.apply(to: values.row(row), count: values.columns)
                    if let factors { cleave_multiply(values.row(row), factors.row(row), values.columns) }
                }
                result.rows(chunk).rows(rows).store(values.rows(rows))
            }
        }
        return result
    }

    private func addOutput(_ input: Operand, _ weights: LinearWeights, to target: Matrix<Float>) {
        forEachChunk(input.rows) { chunk in
            add(weights.apply(to: input.rows(chunk)), to: target.rows(chunk))
        }
    }
}
