// The fixed shares in which a stage's outputs are computed, by one rank or by several.

/// Some columns of a stage's result: the least of it that is computed at once.
///
/// Pieces follow from the stage's shape alone. So the products that make them have the same shapes, and give the same bits, whether one rank computes
/// all pieces or several ranks compute some each. A piece takes whole rows of weights: no sum over columns is ever split.
public struct Piece: Sendable, Equatable {
    /// Rows of one of the stage's linears.
    public struct Part: Sendable, Hashable {
        /// Index of the linear in its stage.
        public let linear: Int
        public let rows: Range<Int>
    }

    /// Rows that the widest part of a piece has at the least, where a stage has more than one piece: narrower products would lose speed.
    static let leastRows = 512

    /// What is multiplied with the stage's input, in the order that `effect` expects.
    public let parts: [Part]
    /// What becomes of the parts' outputs: the stage's effect; of attention, that of the piece's heads.
    public let effect: any PieceEffect
    /// Columns of the stage's result: of contexts, of activated values, or of what is added to the residual stream.
    public let columns: Range<Int>

    /// Rows of weights.
    public var rows: Int { parts.reduce(0) { $0 + $1.rows.count } }

    public static func == (a: Piece, b: Piece) -> Bool {
        a.parts == b.parts && AnyHashable(a.effect) == AnyHashable(b.effect) && a.columns == b.columns
    }
}

extension [Piece] {
    /// What the pieces read besides the stage's outputs: of each value the columns from the first that any reads to the last.
    public var reads: [ValuePart] {
        guard let first else { return [] }
        return first.effect.reads.indices.map { place in
            let columns = map { $0.effect.reads[place].columns }
            let (start, end) = (columns.map(\.lowerBound).min() ?? 0, columns.map(\.upperBound).max() ?? 0)
            return ValuePart(first.effect.reads[place].value, columns: start..<end)
        }
    }
}

/// `0..<count` in ranges as even as whole units allow, each at least of a size where there are several. Their number is a power of two, so that they can be
/// shared among as many ranks.
func evenRanges(_ count: Int, unit: Int, leastSize: Int) -> [Range<Int>] {
    let units = (count + unit - 1) / unit
    var number = 1
    while 2 * number <= units, units / (2 * number) * unit >= leastSize { number *= 2 }
    return (0..<number).map { $0 * units / number * unit..<min(($0 + 1) * units / number * unit, count) }
}
