// What becomes of a piece's outputs: what an operation costs, and how it is computed.

/// An operation on the outputs of some rows of a stage's linears: those of a piece, or all.
public protocol PieceEffect: Sendable, Hashable {
    /// Whether a token's result depends on other tokens of its sequence.
    var seesOtherTokens: Bool { get }

    /// What it reads besides the outputs of the stage's linears.
    var reads: [ValuePart] { get }

    /// Multiplications and additions for a sequence of so many tokens, besides those of the stage's linears.
    func operations(length: Int) -> Double

    /// Bytes that computing a piece takes besides its input, its weights and its result.
    ///
    /// - Parameters:
    ///   - rows: of the piece's weights.
    ///   - tokens: of a sequence where the operation sees other tokens, else of a batch.
    ///   - compute: what operands of products are.
    func workspaceBytes(rows: Int, tokens: Int, compute: Compute, threads: Int) -> Int

    /// Computes a piece for some tokens.
    ///
    /// - Parameters:
    ///   - weights: of the piece's parts.
    ///   - input: [tokens, columns of the stage]
    ///   - target: [tokens, columns of the piece]
    func compute(_ weights: [LinearWeights], _ input: Operand, _ context: EffectContext, into target: StageTarget)
}

extension PieceEffect {
    public var seesOtherTokens: Bool { false }
    public var reads: [ValuePart] { [] }
    public func operations(length: Int) -> Double { 0 }

    /// Each thread has outputs of its own, of as many tokens as pass weights at once.
    public func workspaceBytes(rows: Int, tokens: Int, compute: Compute, threads: Int) -> Int {
        threads * min(LinearWeights.mostTokensAtOnce, tokens) * rows * MemoryLayout<Float>.size
    }
}

/// What an operation needs besides weights and input.
public struct EffectContext: Sendable {
    let compute: Compute
    let rotations: RotationTables
    /// The learned weights of the operation's own norms and linears.
    let norms: [Norm: NormWeights]
    let linears: [Linear: LinearWeights]
    /// The numbers of its other tensors, in the order in which they are stored.
    let parameters: [ExpectedTensor: [Float]]
    /// Is told the keys and values that a server would keep; nil: nobody asks for them.
    let cache: CacheMagnitudes?
    /// Of what it reads besides, in the order of `reads`, for the tokens of the input: [tokens, columns].
    var values: [Operand] = []

    func numbers(_ tensor: ExpectedTensor) -> [Float] {
        guard let found = parameters[tensor] else { preconditionFailure("\(tensor.name) is no parameter of this operation") }
        return found
    }
}
