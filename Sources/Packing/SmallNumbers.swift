// Numbers of eight bits and less as fp32, by their bits.

/// Tables of all numbers of a type; those to which weights are rounded are in `Float8` and `Float4`. Source: the OCP specification of microscaling formats.
enum SmallNumbers {
    /// Two's complement.
    static let int8: [Float] = (0..<256).map { Float(Int8(truncatingIfNeeded: $0)) }

    /// E8M0: powers of two from 2^-127 on, 255 is not a number.
    static let e8m0: [Float] = (0..<256).map { $0 == 255 ? .nan : Float(sign: .plus, exponent: $0 - 127, significand: 1) }
}
