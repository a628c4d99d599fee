// The model: from the bytes of a piece to token ids by byte-pair encoding (Sennrich et al. 2016, section 3.2).

/// A byte-pair encoding model in either alphabet, with byte fallback and unknown tokens.
struct BytePairModel: Sendable {
    /// Pieces of at most this many units are looked up whole in the cache; longer ones are first cut where no merge can cross.
    static let longestCachedWord = 64

    let units: UnitTable
    let merges: MergeTable
    /// Where merges are ignored for pieces that are tokens themselves (`ignore_merges`): those pieces.
    let wholeWords: [[UInt8]: Int32]
    let longestWholeWord: Int

    /// Appends the ids of `piece`, which is not empty.
    func encode(_ piece: UnsafeBufferPointer<UInt8>, with workspace: inout Workspace, into ids: inout [Int32]) {
        if piece.count <= longestWholeWord, let id = wholeWords[Array(piece)] {
            ids.append(id)
            return
        }
        workspace.units.removeAll(keepingCapacity: true)
        units.append(piece, to: &workspace.units)
        let count = workspace.units.count
        if count <= Self.longestCachedWord {
            encodeUnits(0..<count, with: &workspace, into: &ids)
            return
        }
        var start = 0
        for position in 1..<count where merges.separates(workspace.units[position - 1], workspace.units[position]) {
            encodeUnits(start..<position, with: &workspace, into: &ids)
            start = position
        }
        encodeUnits(start..<count, with: &workspace, into: &ids)
    }

    private func encodeUnits(_ range: Range<Int>, with workspace: inout Workspace, into ids: inout [Int32]) {
        switch range.count {
        case 0: return
        case 1: ids.append(workspace.units[range.lowerBound])
        case 2...Self.longestCachedWord:
            let hash = WordCache.hash(workspace.units[range])
            if workspace.cache.appendIDs(of: workspace.units[range], hash: hash, to: &ids) { return }
            let start = ids.count
            workspace.mergeShort(range, by: merges, into: &ids)
            workspace.cache.insert(workspace.units[range], hash: hash, ids: ids[start...])
        default: workspace.mergeLong(range, by: merges, into: &ids)
        }
    }

    /// What an encoding needs besides the model, kept from piece to piece and from text to text.
    struct Workspace: Sendable {
        var units: [Int32] = []
        var cache = WordCache()
        var symbols: [Int32] = []
        var candidates: [MergeTable.Merge] = []
        var links: [(previous: Int32, next: Int32)] = []
        var queue = MergeQueue()

        /// After a huge piece: keeps the cache but not the memory of the rest.
        mutating func releaseLargeScratch() {
            guard units.capacity > 1 << 20 else { return }
            let cache = cache
            self = Self()
            self.cache = cache
        }
    }
}
