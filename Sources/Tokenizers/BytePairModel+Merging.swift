// Applying merges: always the one of lowest rank, the leftmost of equals, until none applies.

extension BytePairModel.Workspace {
    /// For a few units: looks through all neighbours for the best merge, again and again.
    mutating func mergeShort(_ range: Range<Int>, by merges: MergeTable, into ids: inout [Int32]) {
        symbols.removeAll(keepingCapacity: true)
        symbols.append(contentsOf: units[range])
        candidates.removeAll(keepingCapacity: true)
        for position in 1..<symbols.count { candidates.append(merges.merge(symbols[position - 1], symbols[position])) }
        while let (position, best) = Self.first(of: candidates), best != .max {
            symbols[position] = MergeTable.result(of: best)
            symbols.remove(at: position + 1)
            candidates.remove(at: position)
            if position > 0 { candidates[position - 1] = merges.merge(symbols[position - 1], symbols[position]) }
            if position < candidates.count { candidates[position] = merges.merge(symbols[position], symbols[position + 1]) }
        }
        ids.append(contentsOf: symbols)
    }

    private static func first(of candidates: [MergeTable.Merge]) -> (position: Int, merge: MergeTable.Merge)? {
        guard var best = candidates.first else { return nil }
        var position = 0
        for index in 1..<max(1, candidates.count) where candidates[index] < best {
            best = candidates[index]
            position = index
        }
        return (position, best)
    }

    /// For any number of units, in n log n: a queue of merges over a doubly linked list of symbols.
    mutating func mergeLong(_ range: Range<Int>, by merges: MergeTable, into ids: inout [Int32]) {
        symbols.removeAll(keepingCapacity: true)
        symbols.append(contentsOf: units[range])
        let count = symbols.count
        links.removeAll(keepingCapacity: true)
        links.reserveCapacity(count)
        // -1 ends the list on either side.
        for position in 0..<count {
            links.append(
                (Int32(truncatingIfNeeded: position - 1), Int32(truncatingIfNeeded: position + 1 < count ? position + 1 : -1)))
        }
        queue.removeAll()
        for position in 0..<(count - 1) {
            queue.append(merges.merge(symbols[position], symbols[position + 1]), at: position)
        }
        queue.order()

        while let (merge, position) = queue.popFirst() {
            let next = Int(links[position].next)
            // An entry is stale where one of its symbols has been merged since; a removed symbol is -1, which no merge has.
            guard next >= 0, symbols[position] >= 0, merges.merge(symbols[position], symbols[next]) == merge else { continue }
            symbols[position] = MergeTable.result(of: merge)
            symbols[next] = -1
            let after = Int(links[next].next)
            links[position].next = Int32(truncatingIfNeeded: after)
            if after >= 0 {
                links[after].previous = Int32(truncatingIfNeeded: position)
                queue.push(merges.merge(symbols[position], symbols[after]), at: position)
            }
            let before = Int(links[position].previous)
            if before >= 0 { queue.push(merges.merge(symbols[before], symbols[position]), at: before) }
        }
        for symbol in symbols where symbol >= 0 { ids.append(symbol) }
    }
}

/// A binary heap of merges and their positions: the lowest rank first, the leftmost of equals.
struct MergeQueue: Sendable {
    private struct Entry: Sendable {
        let merge: MergeTable.Merge
        let position: Int

        @inline(__always)
        static func < (left: Entry, right: Entry) -> Bool {
            left.merge != right.merge ? left.merge < right.merge : left.position < right.position
        }
    }

    private var entries: [Entry] = []

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
    }

    /// Adds without keeping the order; call `order()` afterwards. Ignores `.max`, which is no merge.
    mutating func append(_ merge: MergeTable.Merge, at position: Int) {
        if merge != .max { entries.append(Entry(merge: merge, position: position)) }
    }

    mutating func order() {
        for index in stride(from: entries.count / 2 - 1, through: 0, by: -1) { sink(index) }
    }

    mutating func push(_ merge: MergeTable.Merge, at position: Int) {
        guard merge != .max else { return }
        let entry = Entry(merge: merge, position: position)
        var index = entries.count
        entries.append(entry)
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry < entries[parent] else { break }
            entries[index] = entries[parent]
            index = parent
        }
        entries[index] = entry
    }

    mutating func popFirst() -> (merge: MergeTable.Merge, position: Int)? {
        guard let first = entries.first, let last = entries.popLast() else { return nil }
        if !entries.isEmpty {
            entries[0] = last
            sink(0)
        }
        return (first.merge, first.position)
    }

    private mutating func sink(_ start: Int) {
        let entry = entries[start]
        var index = start
        while true {
            var child = 2 * index + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
            guard entries[child] < entry else { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = entry
    }
}
