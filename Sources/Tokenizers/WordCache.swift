// A bounded cache of words already encoded: natural text repeats its words.

/// From a word's units to its ids. Direct-mapped: a word may push out another, and the whole is emptied when its storage is full, so
/// memory stays below about 6 MB.
struct WordCache: Sendable {
    private struct Slot: Sendable {
        var hash: UInt64 = 0
        var offset: Int32 = 0
        var unitCount: UInt16 = 0
        var idCount: UInt16 = 0
    }

    private static let slotCount = 1 << 16
    private static let storageLimit = 1 << 20
    private var slots: [Slot] = []
    /// For each word its units, then its ids.
    private var storage: [Int32] = []

    static func hash(_ units: ArraySlice<Int32>) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: units.count)
        for unit in units {
            hash = (hash ^ UInt64(UInt32(bitPattern: unit))) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
        }
        return hash
    }

    /// Appends the ids of the word if it is known.
    func appendIDs(of units: ArraySlice<Int32>, hash: UInt64, to ids: inout [Int32]) -> Bool {
        guard !slots.isEmpty else { return false }
        let slot = slots[Int(truncatingIfNeeded: hash % UInt64(Self.slotCount))]
        guard slot.hash == hash, Int(slot.unitCount) == units.count else { return false }
        let middle = Int(slot.offset) + Int(slot.unitCount)
        guard storage[Int(slot.offset)..<middle] == units else { return false }
        ids.append(contentsOf: storage[middle..<(middle + Int(slot.idCount))])
        return true
    }

    /// Keeps the ids (at most as many as units) of a word.
    mutating func insert(_ units: ArraySlice<Int32>, hash: UInt64, ids: ArraySlice<Int32>) {
        if slots.isEmpty || storage.count + units.count + ids.count > Self.storageLimit {
            slots = Array(repeating: Slot(), count: Self.slotCount)
            storage.removeAll(keepingCapacity: true)
        }
        slots[Int(truncatingIfNeeded: hash % UInt64(Self.slotCount))] = Slot(
            hash: hash, offset: Int32(truncatingIfNeeded: storage.count),
            unitCount: UInt16(truncatingIfNeeded: units.count), idCount: UInt16(truncatingIfNeeded: ids.count))
        storage.append(contentsOf: units)
        storage.append(contentsOf: ids)
    }
}
