// Finding numbers that are not finite, against looking at each.

import LinearAlgebra
import SeededNumbers
import Testing

@Suite struct FiniteNumberTests {
    private static let sizes = [0, 1, 2, 15, 16, 17, 1023, 1024, 1025, 3000]
    /// With the bits of an infinity and of a NaN.
    private static let types: [(exponent: Numbers.Exponent, bits: [UInt32])] = [
        (.float32, [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xff80_0001]), (.float16, [0x7c00, 0xfc00, 0x7e00, 0xfc01]),
        (.bfloat16, [0x7f80, 0xff80, 0x7fc0, 0xff81]),
    ]

    private func bytes(_ numbers: [UInt32], _ width: Int, shift: Int) -> [UInt8] {
        [UInt8](repeating: 0xff, count: shift) + numbers.flatMap { number in (0..<width).map { UInt8(truncatingIfNeeded: number >> (8 * UInt32($0))) } }
    }

    private func firstNotFinite(_ bytes: [UInt8], _ exponent: Numbers.Exponent, shift: Int) -> Int? {
        bytes.withUnsafeBytes { Numbers.firstNotFinite(UnsafeRawBufferPointer(rebasing: $0[shift...]), exponent) }
    }

    /// Wherever it is, aligned or not; the first of several.
    @Test(arguments: types.indices, sizes)
    func theFirstIsFound(type: Int, size: Int) {
        let (exponent, special) = Self.types[type]
        var generator = SeededGenerator(seed: UInt64(size + 1))
        // The largest finite number has all bits but one of the exponent; zeros and others are drawn.
        let largest: UInt32 = exponent == .float32 ? 0x7f7f_ffff : exponent == .float16 ? 0x7bff : 0x7f7f
        let finite = (0..<size).map { _ in UInt32.random(in: 0...largest, using: &generator) }
        for shift in 0..<4 {
            #expect(firstNotFinite(bytes(finite, exponent.byteCount, shift: shift), exponent, shift: shift) == nil)
            for place in Set([0, size / 3, size / 2, size - 1]) where place >= 0 && place < size {
                for bits in special {
                    var numbers = finite
                    numbers[place] = bits
                    if place + 5 < size { numbers[place + 5] = bits }
                    #expect(firstNotFinite(bytes(numbers, exponent.byteCount, shift: shift), exponent, shift: shift) == place)
                }
            }
        }
    }
}
