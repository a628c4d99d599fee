// Which of a layer's weights are compared with each other when some of them are pruned.

internal import LinearAlgebra

public struct PruningOptions: Sendable, Equatable {
    /// The weights among which a share is taken.
    public enum Scope: Sendable, Equatable {
        /// All rows of the layer, so many neighbouring columns at a time (SparseGPT).
        case blocks(of: Int)
        /// The whole layer.
        case layer
        /// Each row by itself (Wanda).
        case rows
    }

    public var sparsity: Sparsity
    /// For a share; a pattern compares the columns of its own.
    public var scope: Scope
    /// Masks that a method chooses one after the other for the same columns; 1 for methods that choose once.
    public var choices: Int
    /// Neighbouring columns of a row that a share prunes together.
    public var blockColumns: Int

    public init(sparsity: Sparsity, scope: Scope, choices: Int = 1, blockColumns: Int = 1) {
        self.sparsity = sparsity
        self.scope = scope
        self.choices = choices
        self.blockColumns = blockColumns
    }

    /// The columns of each comparison that goes through all rows of a layer, in order: each needs a threshold. Empty when rows decide by themselves.
    public func comparisons(columns: Int) -> [Range<Int>] {
        switch (sparsity, scope) {
        case (.share, .blocks(let width)): (0..<columns).cut(every: width)
        case (.share, .layer): Array(repeating: 0..<columns, count: choices)
        case (.share, .rows), (.pattern, _): []
        }
    }

    /// The place of the threshold among `count` scores in ascending order, from 0: weights whose score is not above it are pruned.
    ///
    /// As published, `sort(scores)[int(count * share)]`, so that scores equal to the threshold are pruned with it (`sparsegpt.py`).
    public func thresholdRank(among count: Int) -> Int {
        guard case .share(let share) = sparsity else { preconditionFailure("a pattern has no threshold") }
        return min(Int(Double(count) * share), count - 1)
    }

    /// Weights of a layer that a share makes zero, where no two scores are equal but those of a block.
    public func prunedCount(rows: Int, columns: Int) -> Int {
        switch (sparsity, scope) {
        case (.pattern(let pruned, let of), _): rows * columns / of * pruned
        case (.share, .layer): (thresholdRank(among: rows * columns) / blockColumns + 1) * blockColumns
        case (.share, .blocks): comparisons(columns: columns).reduce(0) { $0 + thresholdRank(among: rows * $1.count) + 1 }
        case (.share(let share), .rows): rows * Self.prunedOfRow(columns: columns, share: share)
        }
    }

    /// The weights that are pruned of each row where rows decide by themselves.
    static func prunedOfRow(columns: Int, share: Double) -> Int { Int(Double(columns) * share) }

    /// - Parameter columns: of the layer.
    /// - Throws: for blocks that do not fit the column loop, for patterns and blocks of zeros that do not fill the columns, and for act-order.
    func validate(columns: Int, _ content: TileContent) throws(CompressionError) {
        if case .pattern(let pruned, let of) = sparsity {
            guard 0 < pruned, pruned < of, columns % of == 0 else {
                throw .options("the pattern \(sparsity) does not fit \(columns) columns")
            }
        } else if case .blocks(let width) = scope {
            guard width >= ColumnRanges.leafColumns, ColumnRanges.panelColumns % width == 0 else {
                throw .options("a mask is chosen for 32, 64, 128, 256 or 512 columns at a time, not for \(width)")
            }
        }
        guard blockColumns > 0, columns % blockColumns == 0 else {
            throw .options("blocks of \(blockColumns) columns do not fit \(columns) columns")
        }
        guard case .codes(let options) = content else { return }
        try options.validate()
        guard options.number == .int else { throw .options("pruning goes with integers, not with \(options.number.rawValue)") }
        guard !options.actOrder else { throw .options("act-order does not go with sparsity") }
    }

    /// - Throws: when a group begins before the mask of all its columns can be known or foreseen.
    func validateGroups(_ content: TileContent) throws(CompressionError) {
        guard case .codes(let options) = content, options.hasDynamicGroups else { return }
        switch (sparsity, scope) {
        case (.pattern(_, let of), _) where options.group % of != 0:
            throw .options("a group of \(options.group) columns does not hold whole patterns of \(of)")
        case (.share, .blocks(let width)) where width % options.group != 0:
            throw .options("a mask for \(width) columns at a time does not cover whole groups of \(options.group)")
        default: break
        }
    }
}

/// What a solved tile holds.
public enum TileContent: Sendable, Equatable {
    case codes(QuantizationOptions)
    /// The weights themselves, in the type in which the checkpoint stores them.
    case values(ScaleType)
}
