// The 16-bit brain float: the upper half of an IEEE fp32 number.

/// A bfloat16 number, kept as its bits; arithmetic happens in fp32.
public struct BFloat16: BitwiseCopyable, Equatable, Sendable {
    public var bits: UInt16

    public init(bits: UInt16) {
        self.bits = bits
    }

    /// Rounds to nearest, ties to even; a NaN stays a quiet NaN.
    public init(_ value: Float) {
        let pattern = value.bitPattern
        guard !value.isNaN else {
            bits = UInt16(truncatingIfNeeded: pattern >> 16) | 0x40
            return
        }
        bits = UInt16(truncatingIfNeeded: (pattern &+ 0x7fff &+ ((pattern >> 16) & 1)) >> 16)
    }

    public var float: Float { Float(bitPattern: UInt32(bits) << 16) }
}
