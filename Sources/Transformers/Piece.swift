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
    public let effect: StageEffect
    /// Columns of the stage's result: of contexts, of activated values, or of what is added to the residual stream.
    public let columns: Range<Int>

    /// Rows of weights.
    public var rows: Int { parts.reduce(0) { $0 + $1.rows.count } }
}

extension Stage {
    /// The stage's pieces; together they make every column of its result once.
    public var pieces: [Piece] { pieces(leastRows: Piece.leastRows) }

    package func pieces(leastRows: Int) -> [Piece] {
        switch effect {
        case .attention(let attention):
            return attention.pieces(leastRows: leastRows) ?? [whole(columns: attention.contextColumns)]
        case .planned:
            return [whole(columns: linears.reduce(0) { $0 + $1.rows })]
        case .gatedActivation, .activation, .addToResidual, .addToPending:
            let rows = linears[0].rows
            // Whole cache lines of results in bf16.
            return evenRanges(rows, unit: 32, leastSize: leastRows).map { range in
                Piece(parts: linears.indices.map { Piece.Part(linear: $0, rows: range) }, effect: effect, columns: range)
            }
        }
    }

    private func whole(columns: Int) -> Piece {
        Piece(parts: linears.indices.map { Piece.Part(linear: $0, rows: 0..<linears[$0].rows) }, effect: effect, columns: 0..<columns)
    }
}

extension Attention {
    /// Groups of key-value heads with the query heads that share them; nil where all make one piece.
    fileprivate func pieces(leastRows: Int) -> [Piece]? {
        let shared = heads / keyValueHeads
        // Rows of a group's widest part.
        let width = (layout == .perHead ? 3 : shared) * headSize
        let groups = evenRanges(keyValueHeads, unit: 1, leastSize: (leastRows + width - 1) / width)
        guard groups.count > 1 else { return nil }
        return groups.map { group in
            let queries = group.lowerBound * shared * headSize..<group.upperBound * shared * headSize
            let keys = group.lowerBound * headSize..<group.upperBound * headSize
            let parts: [Piece.Part] =
                switch layout {
                case .separate: [(0, queries), (1, keys), (2, keys)].map(Piece.Part.init)
                case .thirds: (0..<3).map { Piece.Part(linear: 0, rows: keys.lowerBound + $0 * contextColumns..<keys.upperBound + $0 * contextColumns) }
                case .perHead: [Piece.Part(linear: 0, rows: 3 * keys.lowerBound..<3 * keys.upperBound)]
                }
            return Piece(parts: parts, effect: .attention(of(group)), columns: queries)
        }
    }

    /// The attention of some key-value heads, whose queries, keys and values lie beside those of no others.
    private func of(_ group: Range<Int>) -> Attention {
        Attention(
            layout: layout == .perHead ? .perHead : .separate, heads: group.count * (heads / keyValueHeads), keyValueHeads: group.count,
            headSize: headSize, scale: scale, window: window, rotary: rotary, queryNorm: queryNorm, keyNorm: keyNorm)
    }
}

/// `0..<count` in ranges as even as whole units allow, each at least of a size where there are several. Their number is a power of two, so that they can be
/// shared among as many ranks.
private func evenRanges(_ count: Int, unit: Int, leastSize: Int) -> [Range<Int>] {
    let units = (count + unit - 1) / unit
    var number = 1
    while 2 * number <= units, units / (2 * number) * unit >= leastSize { number *= 2 }
    return (0..<number).map { $0 * units / number * unit..<min(($0 + 1) * units / number * unit, count) }
}
