// A hash map from pairs of ids to a number: the innermost look-up of byte-pair encoding.

/// Open addressing with linear probing, filled once and then only read.
struct PairTable: Sendable {
    /// No pair has this key: ids are never negative.
    private static let vacant = UInt64.max
    private var keys: [UInt64]
    private var values: [UInt64]
    private let shift: UInt64
    private var count = 0

    /// - Parameter capacity: the largest number of pairs that will be stored.
    init(capacity: Int) {
        var bits: UInt64 = 4
        while 1 << bits < capacity * 2 { bits += 1 }
        keys = Array(repeating: Self.vacant, count: 1 << bits)
        values = Array(repeating: 0, count: 1 << bits)
        shift = 64 - bits
    }

    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        // Fibonacci hashing: the high bits of a product with 2^64 / golden ratio are well mixed.
        var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while keys[slot] != key, keys[slot] != Self.vacant { slot = (slot + 1) & (keys.count - 1) }
        return slot
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// Stores a value (below `UInt64.max`), replacing the one the pair had.
    mutating func insert(_ left: Int32, _ right: Int32, value: UInt64) {
        let key = Self.key(left, right)
        let slot = slot(of: key)
        if keys[slot] == Self.vacant {
            precondition(count < keys.count / 2 + 1, "a pair table was given more pairs than its capacity")
            count += 1
        }
        keys[slot] = key
        values[slot] = value
    }

    /// The value of the pair, or `UInt64.max`.
    @inline(__always)
    func value(_ left: Int32, _ right: Int32) -> UInt64 {
        let slot = slot(of: Self.key(left, right))
        return keys[slot] == Self.vacant ? .max : values[slot]
    }
}
