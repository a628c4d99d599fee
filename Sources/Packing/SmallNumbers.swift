// Numbers of eight bits and less as fp32, by their bits.

/// Tables of all numbers of a type. Sources: the OCP specifications of 8-bit floating point and of microscaling formats.
enum SmallNumbers {
    /// E4M3 without infinities: exponents less 7, S.1111.111 is not a number.
    static let e4m3: [Float] = (0..<256).map { bits in
        let (exponent, fraction) = (bits >> 3 & 15, Float(bits & 7))
        let magnitude =
            bits & 127 == 127 ? Float.nan : exponent == 0 ? fraction * 0x1p-9 : (8 + fraction) * Float(sign: .plus, exponent: exponent - 10, significand: 1)
        return bits < 128 ? magnitude : -magnitude
    }

    /// Two's complement.
    static let int8: [Float] = (0..<256).map { Float(Int8(truncatingIfNeeded: $0)) }

    /// E2M1, four bits, the highest of which is the sign.
    static let e2m1: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]

    /// E8M0: powers of two from 2^-127 on, 255 is not a number.
    static let e8m0: [Float] = (0..<256).map { $0 == 255 ? .nan : Float(sign: .plus, exponent: $0 - 127, significand: 1) }
}
