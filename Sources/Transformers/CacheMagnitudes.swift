// The largest keys and values that attention has seen, from which the scales of a quantized cache follow.

internal import LinearAlgebra
internal import Synchronization

/// The largest |k| and |v| of each head of an attention, over all sequences that have passed it.
public final class CacheMagnitudes: Sendable {
    private let heads: Int
    private let found: Mutex<[Float]>

    /// - Parameter heads: those of keys and values.
    public init(heads: Int) {
        self.heads = heads
        found = Mutex(Array(repeating: 0, count: 2 * heads))
    }

    /// Of keys by head, then of values by head; infinity where a number was infinite or none.
    public var magnitudes: [Float] { found.withLock { $0 } }

    /// Takes in a sequence.
    ///
    /// - Parameters:
    ///   - keys, values: of consecutive heads: [tokens, size of the head]
    ///   - first: the first of these heads.
    func note(keys: [Operand], values: [Operand], first: Int) {
        let operands = keys + values
        let largest = parallelMap(operands.count) { operands[$0].maxMagnitude }
        found.withLock { found in
            for (place, magnitude) in largest.enumerated() {
                let head = place < keys.count ? first + place : heads + first + place - keys.count
                found[head] = max(found[head], magnitude)
            }
        }
    }
}
