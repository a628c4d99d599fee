// A stage of a block as data: linears that share one input, and what becomes of their outputs.

/// The linears of a block that share one input, what that input is, and what becomes of their outputs. Immutable, and one object for all that speak of it: mixtures
/// have tens of thousands.
public final class Stage: Sendable, Equatable {
    /// Tokens that pass a linear at once: it bounds the fp32 outputs, and being fixed it keeps the products' shapes, so their bits.
    static let chunkTokens = 1024

    /// "qkv", "attention output", "gate+up", "up" or "down", of an expert with its number before.
    public let name: String
    public let input: StageInput
    /// Never empty; in the order that the effect expects.
    public let linears: [Linear]
    public let effect: any StageEffect
    /// The share of all tokens that reach the stage: below 1 for an expert.
    public let tokenShare: Double
    /// The values that no later stage of the block reads.
    let lastReads: [Value]
    /// Columns of the values, besides the input, that rest while the stage is worked on, and of those that rest after it.
    public let restingColumns: Int
    public let leftColumns: Int

    init(
        name: String, input: StageInput, linears: [Linear], effect: any StageEffect, tokenShare: Double = 1, lastReads: [Value] = [],
        restingColumns: Int = 0, leftColumns: Int = 0
    ) {
        self.name = name
        self.input = input
        self.linears = linears
        self.effect = effect
        self.tokenShare = tokenShare
        self.lastReads = lastReads
        self.restingColumns = restingColumns
        self.leftColumns = leftColumns
    }

    /// The stage in its place among others.
    func with(lastReads: [Value], restingColumns: Int, leftColumns: Int) -> Stage {
        Stage(
            name: name, input: input, linears: linears, effect: effect, tokenShare: tokenShare, lastReads: lastReads, restingColumns: restingColumns,
            leftColumns: leftColumns)
    }

    /// A stage that reads what another leaves.
    convenience init(name: String, after stage: Stage, linears: [Linear], effect: any StageEffect) {
        guard case .value(let value) = stage.destination else { preconditionFailure("\(stage.name) leaves nothing for \(name)") }
        self.init(name: name, input: .value(value), linears: linears, effect: effect, tokenShare: stage.tokenShare)
    }

    public static func == (a: Stage, b: Stage) -> Bool {
        a.name == b.name && a.input == b.input && a.linears == b.linears && AnyHashable(a.effect) == AnyHashable(b.effect) && a.tokenShare == b.tokenShare
            && a.lastReads == b.lastReads
    }

    /// Columns of the stage's input and of every linear in it.
    public var columns: Int { linears.first?.columns ?? 0 }

    public var destination: Destination { effect.destination(of: linears) }

    /// The values that it needs.
    var reads: [Value] { input.reads + effect.reads.map(\.value) }

    /// Columns of what the effect reads besides.
    public var readColumns: Int { effect.reads.reduce(0) { $0 + $1.columns.count } }

    /// The stage's pieces; together they make every column of its result once.
    public var pieces: [Piece] { pieces(leastRows: Piece.leastRows) }

    package func pieces(leastRows: Int) -> [Piece] { effect.pieces(of: linears, leastRows: leastRows) }

    /// Tokens that pass the stage at once: those of a sequence where a token's result depends on others, else some of any.
    ///
    /// - Parameter length: of a sequence, in tokens.
    public func tokensAtOnce(length: Int, batchTokens: Int) -> Int { effect.seesOtherTokens ? length : min(Self.chunkTokens, batchTokens) }

    // MARK: - Arithmetic that cannot be avoided

    /// Multiplications and additions of the linears and of what becomes of their outputs.
    ///
    /// - Parameter lengths: tokens of each sequence; those of an expert are its share of them, on average.
    public func operations(lengths: [Int]) -> Double { operations(rows: linears.reduce(0) { $0 + $1.rows }, lengths: lengths, [effect]) }

    /// Those of some of the stage's pieces.
    public func operations(of pieces: some Sequence<Piece>, lengths: [Int]) -> Double {
        pieces.reduce(0) { $0 + operations(rows: $1.rows, lengths: lengths, [$1.effect]) }
    }

    private func operations(rows: Int, lengths: [Int], _ effects: [any PieceEffect]) -> Double {
        let weights = Double(rows) * Double(columns) * tokenShare
        return lengths.reduce(0) { sum, length in
            effects.reduce(sum + 2 * weights * Double(length)) { $0 + $1.operations(length: length) }
        }
    }
}
