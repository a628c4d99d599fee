// What a user asks for when a model's weights are to be rotated, and why a model cannot be.

/// A rotation of the residual stream and of the values of attention heads that is folded into the weights: the model computes the same function, and its weights have
/// fewer outliers (Ashkboos et al. 2024, "QuaRot"; Liu et al. 2024, "SpinQuant").
///
/// The residual stream is rotated by the block-diagonal matrix whose blocks are normalised Hadamard matrices, which are symmetric and their own inverses.
public struct WeightRotation: Sendable, Hashable {
    /// Neighbouring elements of the residual stream that are rotated together: a power of two that divides the hidden size.
    public enum Block: Sendable, Hashable {
        case exactly(Int)
        /// The largest there is up to this.
        case atMost(Int)
    }

    public var block: Block
    /// Whether the values of each key-value head are rotated too, by the largest power of two that divides their number.
    public var heads: Bool

    public init(block: Block, heads: Bool = true) {
        self.block = block
        self.heads = heads
    }

    /// - Throws: where there is none, or the one that was asked for is none.
    func size(hidden: Int) throws(RotationError) -> Int {
        let largest = Self.largest(dividing: hidden)
        switch block {
        case .exactly(let size):
            guard size > 1, largest % size == 0 else { throw RotationError.block(size, hidden: hidden, largest: largest) }
            return size
        case .atMost(let most):
            var size = largest
            while size > most { size /= 2 }
            guard size >= Self.least else { throw RotationError.noBlock(hidden: hidden, largest: size) }
            return size
        }
    }

    /// The least block that is taken unless it is asked for: smaller ones spread an outlier over too few weights to be worth a head of its own.
    private static let least = 16

    /// The largest power of two that divides a size.
    static func largest(dividing size: Int) -> Int { size & -size }
}

/// Why a model's weights cannot be rotated.
public enum RotationError: Error, Equatable, CustomStringConvertible {
    case block(Int, hidden: Int, largest: Int)
    case noBlock(hidden: Int, largest: Int)
    /// A norm, or another part of the model, and what is in the way there.
    case unsuited(part: String, reason: String)

    public var description: String {
        switch self {
        case .block(let size, let hidden, let largest):
            "`rotate`: blocks of \(size) are no power of two that divides the hidden size, \(hidden); the largest is \(largest)"
        case .noBlock(let hidden, let largest):
            "`rotate`: the largest power of two that divides the hidden size, \(hidden), and is no larger than a group is \(largest); leave `rotate` out, or name a "
                + "`block` all the same"
        case .unsuited(let part, let reason):
            "`rotate`: \(part) \(reason); leave `rotate` out"
        }
    }
}
