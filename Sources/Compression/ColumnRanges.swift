// The nested ranges of columns in which the column loop goes, and R is kept: they decide the shapes of products, and so their bits.

/// Panels of columns, blocks inside them, and leaves inside these, for methods that look at the updated weights of a group or a pattern of columns.
package enum ColumnRanges {
    /// Columns gathered by one product over everything before them: wide, since each such product packs all errors so far.
    static let panelColumns = 512
    /// Columns gathered by one product over those before them in the panel.
    static let blockColumns = 128
    /// Columns left to a kernel.
    package static let leafColumns = 32

    /// Widths for a method that looks at the updated weights of every `group` columns; nil for one that does not.
    package static func widths(group: Int?) -> [Int] {
        guard let group else { return [panelColumns, blockColumns, leafColumns] }
        // Panels and blocks hold whole groups, and a group wider than a block is cut into blocks.
        let block = group > blockColumns ? blockColumns : blockColumns / group * group
        let panel = max(panelColumns / max(group, block), 1) * max(group, block)
        return Set([panel, max(group, block), min(group, block), group, min(group, leafColumns)]).sorted(by: >)
    }

    /// Widths for a method that also looks at the updated weights of every `pattern` columns, of which a group holds whole ones.
    static func widths(group: Int?, pattern: Int) -> [Int] {
        let leaf = max(leafColumns / pattern, 1) * pattern
        guard let group else {
            let block = max(blockColumns / leaf, 1) * leaf
            return Set([max(panelColumns / block, 1) * block, block, leaf, pattern]).sorted(by: >)
        }
        return Set(widths(group: group).filter { $0 >= group } + (leaf < group ? [leaf, pattern] : [pattern])).sorted(by: >)
    }
}
