// What becomes of the outputs of a stage's linears: what every operation says of a stage. Each operation is one file beside this one.

/// An operation on the outputs of a stage's linears.
///
/// It says where its result goes and how the result is cut into pieces that ranks may share; as a `PieceEffect`, what these cost and how they are computed.
/// Nobody else tells kinds of operation apart.
public protocol StageEffect: PieceEffect {
    func destination(of linears: [Linear]) -> Destination

    /// What the outputs of a linear are multiplied by as they are added to the residual stream at once; nil where they do not reach it so.
    var streamScale: Float? { get }

    /// The fixed shares of the result; together they make every column of it once.
    ///
    /// - Parameter leastRows: rows that the widest part of a piece has at the least, where there are several.
    func pieces(of linears: [Linear], leastRows: Int) -> [Piece]

    /// Normalisations and linears of its own, which are never compressed; the linears read the stage's input.
    var norms: [Norm] { get }
    var ownLinears: [Linear] { get }

    /// Other tensors of its own.
    var parameters: [ExpectedTensor] { get }

    /// What servers keep of a token for later ones.
    var cache: TokenCache { get }

    /// Whether its result is the outputs of the linears as they are, one beside the other.
    var leavesOutputs: Bool { get }

    /// Where the values of attention heads lie; nil where there are none, or where their elements meet other numbers than their head's weights.
    func headValues(of linears: [Linear]) -> OutputValues?

    /// Where outputs lie to which the result is proportional, element by element; nil where there are none.
    func scalableValues(of linears: [Linear]) -> OutputValues?

    /// The same operation with its tensors called as the checkpoint calls them.
    func renamed(_ file: (String) -> String) -> Self
}

extension StageEffect {
    public var streamScale: Float? { nil }
    public var norms: [Norm] { [] }
    public var ownLinears: [Linear] { [] }
    public var parameters: [ExpectedTensor] { [] }
    public var cache: TokenCache { .nothing }
    public var leavesOutputs: Bool { false }
    public func headValues(of linears: [Linear]) -> OutputValues? { nil }
    public func scalableValues(of linears: [Linear]) -> OutputValues? { headValues(of: linears) }
    public func renamed(_ file: (String) -> String) -> Self { self }

    /// Pieces of the same rows of each linear, each of which makes as many columns.
    public func pieces(of linears: [Linear], leastRows: Int) -> [Piece] {
        // Whole cache lines of results in bf16.
        evenRanges(linears[0].rows, unit: 32, leastSize: leastRows).map { range in
            Piece(parts: linears.indices.map { Piece.Part(linear: $0, rows: range) }, effect: self, columns: range)
        }
    }

    /// All of a stage as one piece.
    func whole(_ linears: [Linear], columns: Int) -> Piece {
        Piece(parts: linears.indices.map { Piece.Part(linear: $0, rows: 0..<linears[$0].rows) }, effect: self, columns: 0..<columns)
    }
}
