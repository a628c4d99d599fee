// Floating-point numbers of 8 bits and fewer: their values and codes.

/// E4M3 without infinities: exponents less 7, S.1111.111 is not a number. Source: the OCP specification of 8-bit floating point.
public enum Float8 {
    public static let e4m3: [Float] = (0..<256).map { bits in
        let (exponent, fraction) = (bits >> 3 & 15, Float(bits & 7))
        let magnitude =
            bits & 127 == 127 ? Float.nan : exponent == 0 ? fraction * 0x1p-9 : (8 + fraction) * Float(sign: .plus, exponent: exponent - 10, significand: 1)
        return bits < 128 ? magnitude : -magnitude
    }

    /// The largest number, 448.
    public static let largest = e4m3[Int(largestCode)]

    private static let largestCode: UInt8 = 0x7e

    /// The positive number nearest to another, half to even, at most the largest.
    static func nearest(_ value: Float) -> Float { e4m3[Int(code(value))] }

    /// The code of the number nearest to one that is not negative.
    public static func code(_ value: Float) -> UInt8 {
        guard value < largest else { return largestCode }
        guard value >= 0x1p-6 else { return UInt8((value * 0x1p9).rounded(.toNearestOrEven)) }
        let bits = value.bitPattern
        return UInt8((bits &+ 0x7ffff &+ (bits >> 20 & 1)) >> 20 &- 960)
    }
}

/// E2M1, four bits, the highest of which is the sign. Source: the OCP specification of microscaling formats.
public enum Float4 {
    public static let e2m1: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]

    /// The largest number, 6.
    public static let largest = e2m1[7]
}
