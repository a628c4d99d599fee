// What becomes of the outputs of a stage's linears: what every operation says of itself. Each operation is one file beside this one.

internal import LinearAlgebra

/// An operation on the outputs of a stage's linears.
///
/// It says where its result goes, how the result is cut into pieces that ranks may share, what it costs and how it is computed; nobody else tells kinds of
/// operation apart.
public protocol StageEffect: Sendable, Hashable {
    func destination(of linears: [Linear]) -> Destination

    /// The fixed shares of the result; together they make every column of it once.
    ///
    /// - Parameter leastRows: rows that the widest part of a piece has at the least, where there are several.
    func pieces(of linears: [Linear], leastRows: Int) -> [Piece]

    /// Whether a token's result depends on other tokens of its sequence.
    var seesOtherTokens: Bool { get }

    /// What it reads besides the outputs of the stage's linears.
    var reads: [ValuePart] { get }

    /// Normalisations and linears of its own, which are never compressed; the linears read the stage's input.
    var norms: [Norm] { get }
    var ownLinears: [Linear] { get }

    /// Other tensors of its own.
    var parameters: [ExpectedTensor] { get }

    /// Whether its result is the outputs of the linears as they are, one beside the other.
    var leavesOutputs: Bool { get }

    /// Where the values of attention heads lie; nil where there are none, or where their elements meet other numbers than their head's weights.
    func headValues(of linears: [Linear]) -> HeadValues?

    /// The same operation with its tensors called as the checkpoint calls them.
    func renamed(_ file: (String) -> String) -> Self

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

/// What an operation needs besides weights and input.
public struct EffectContext: Sendable {
    let compute: Compute
    let rotations: RotationTables
    /// The learned weights of the operation's own norms and linears.
    let norms: [Norm: NormWeights]
    let linears: [Linear: LinearWeights]
    /// The numbers of its other tensors, in the order in which they are stored.
    let parameters: [ExpectedTensor: [Float]]
    /// Of what it reads besides, in the order of `reads`, for the tokens of the input: [tokens, columns].
    var values: [Operand] = []

    func numbers(_ tensor: ExpectedTensor) -> [Float] {
        guard let found = parameters[tensor] else { preconditionFailure("\(tensor.name) is no parameter of this operation") }
        return found
    }
}

extension StageEffect {
    public var seesOtherTokens: Bool { false }
    public var reads: [ValuePart] { [] }
    public var norms: [Norm] { [] }
    public var ownLinears: [Linear] { [] }
    public var parameters: [ExpectedTensor] { [] }
    public var leavesOutputs: Bool { false }
    public func headValues(of linears: [Linear]) -> HeadValues? { nil }
    public func renamed(_ file: (String) -> String) -> Self { self }
    public func operations(length: Int) -> Double { 0 }

    /// Pieces of the same rows of each linear, each of which makes as many columns.
    public func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        // Whole cache lines of results in bf16.
        evenRanges(linears[0].rows, unit: 32, leastSize: leastRows).map { range in
            Piece(parts: linears.indices.map { Piece.Part(linear: $0, rows: range) }, effect: self, columns: range)
        }
    }

    /// Each thread has outputs of its own, of as many tokens as pass weights at once.
    public func workspaceBytes(rows: Int, tokens: Int, compute: Compute, threads: Int) -> Int {
        threads * min(LinearWeights.mostTokensAtOnce, tokens) * rows * MemoryLayout<Float>.size
    }

    /// All of a stage as one piece.
    func whole(_ linears: [Linear], columns: Int) -> Piece {
        Piece(parts: linears.indices.map { Piece.Part(linear: $0, rows: 0..<linears[$0].rows) }, effect: self, columns: 0..<columns)
    }
}
