// Ranges of memory that wait for their next use.

/// Ranges in the order of their addresses, no two of which touch.
struct FreeRanges: @unchecked Sendable {
    private var ranges: [UnsafeMutableRawBufferPointer] = []
    /// Bytes of all ranges.
    private(set) var byteCount = 0

    /// Adds a range; neighbours become one.
    mutating func insert(_ range: UnsafeMutableRawBufferPointer) {
        byteCount += range.count
        var index = firstIndex(from: range.start)
        var joined = range
        if index < ranges.count, joined.end == ranges[index].start {
            joined = UnsafeMutableRawBufferPointer(start: joined.start, count: joined.count + ranges.remove(at: index).count)
        }
        if index > 0, ranges[index - 1].end == joined.start {
            index -= 1
            joined = UnsafeMutableRawBufferPointer(start: ranges[index].start, count: ranges.remove(at: index).count + joined.count)
        }
        ranges.insert(joined, at: index)
    }

    /// So many bytes of the smallest range that has them.
    mutating func take(_ count: Int) -> UnsafeMutableRawPointer? {
        guard let index = ranges.indices.filter({ ranges[$0].count >= count }).min(by: { ranges[$0].count < ranges[$1].count }) else { return nil }
        return cut(count, from: index).start
    }

    mutating func removeLargest() -> UnsafeMutableRawBufferPointer? { removeFromLargest(upTo: .max) }

    /// The upper end of the largest range.
    mutating func removeFromLargest(upTo count: Int) -> UnsafeMutableRawBufferPointer? {
        guard let index = ranges.indices.max(by: { ranges[$0].count < ranges[$1].count }) else { return nil }
        return cut(min(count, ranges[index].count), from: index)
    }

    private mutating func cut(_ count: Int, from index: Int) -> UnsafeMutableRawBufferPointer {
        let range = ranges[index]
        byteCount -= count
        if count == range.count {
            ranges.remove(at: index)
        } else {
            ranges[index] = UnsafeMutableRawBufferPointer(start: range.start, count: range.count - count)
        }
        return UnsafeMutableRawBufferPointer(start: range.end - count, count: count)
    }

    /// The index of the first range at or above an address.
    private func firstIndex(from address: UnsafeMutableRawPointer) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].start < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension UnsafeMutableRawBufferPointer {
    /// The first address of a range that is not empty.
    fileprivate var start: UnsafeMutableRawPointer { baseAddress.unsafelyUnwrapped }
    fileprivate var end: UnsafeMutableRawPointer { start + count }
}
