// The merges of a byte-pair encoding, and the places that no merge can cross.

/// Merges by the pair of ids they join.
struct MergeTable: Sendable {
    /// A merge as one number: the rank above, the resulting id below, so that numbers order as ranks do. `.max` for none.
    typealias Merge = UInt64

    private var merges: PairTable
    /// Pairs of units (the symbols a piece starts from) that some merge joins at its seam; nil where that cannot be told.
    private var seams: PairTable?

    /// - Parameters:
    ///   - list: (left id, right id, resulting id) by rank; a pair given twice keeps its last rank.
    ///   - edges: the first and last unit of a token's spelling, -1 for none.
    ///   - opaqueUnits: units that are not a character of a spelling (byte tokens, the unknown token).
    init(
        _ list: [(left: Int32, right: Int32, result: Int32)], edges: (Int32) -> (first: Int32, last: Int32),
        opaqueUnits: Set<Int32>
    ) {
        merges = PairTable(capacity: list.count)
        var seams = PairTable(capacity: list.count)
        var seamsAreKnown = true
        for (rank, merge) in list.enumerated() {
            merges.insert(merge.left, merge.right, value: UInt64(rank) << 32 | UInt64(merge.result))
            seams.insert(edges(merge.left).last, edges(merge.right).first, value: 1)
            if opaqueUnits.contains(merge.left) || opaqueUnits.contains(merge.right) { seamsAreKnown = false }
        }
        self.seams = seamsAreKnown ? seams : nil
    }

    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> Merge {
        merges.value(left, right)
    }

    @inline(__always)
    static func result(of merge: Merge) -> Int32 {
        Int32(truncatingIfNeeded: merge & 0xFFFF_FFFF)
    }

    /// Whether no merge can ever join what lies left of this seam with what lies right of it: every symbol is a run of units, so a merge
    /// across the seam would have these two units at its own. The two sides can then be encoded apart.
    @inline(__always)
    func separates(_ left: Int32, _ right: Int32) -> Bool {
        guard let seams else { return false }
        return seams.value(left, right) == .max
    }
}
