// The 16-bit formats against their definitions: every pattern, and every fp32 neighbourhood where rounding decides.

import CKernels
import LinearAlgebra
import SeededNumbers
import Testing

/// The value of a number with so many exponent and fraction bits: what IEEE 754 says of its pattern.
private func value(_ pattern: UInt16, exponentBits: Int, fractionBits: Int) -> Double {
    let fraction = Int(pattern) & ((1 << fractionBits) - 1)
    let exponent = (Int(pattern) >> fractionBits) & ((1 << exponentBits) - 1)
    let bias = (1 << (exponentBits - 1)) - 1
    let sign: FloatingPointSign = pattern >> 15 == 0 ? .plus : .minus
    if exponent == (1 << exponentBits) - 1 { return fraction == 0 ? (sign == .plus ? .infinity : -.infinity) : .nan }
    let significand = Double(fraction) / Double(1 << fractionBits) + (exponent == 0 ? 0 : 1)
    let magnitude = Double(sign: .plus, exponent: max(exponent, 1) - bias, significand: significand)
    return sign == .plus ? magnitude : -magnitude
}

struct Format: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let exponentBits: Int
    let fractionBits: Int
    let widen: @Sendable ([UInt16]) -> [Float]
    let narrow: @Sendable ([Float]) -> [UInt16]

    var infinity: UInt16 { UInt16((1 << exponentBits) - 1) << UInt16(fractionBits) }

    static let all = [
        Format(testDescription: "bf16", exponentBits: 8, fractionBits: 7) { source in
            [Float](unsafeUninitializedCapacity: source.count) {
                Numbers.widen(bfloat16: source, into: $0.baseAddress!, count: source.count); $1 = source.count
            }
        } narrow: { source in
            [UInt16](unsafeUninitializedCapacity: source.count) {
                Numbers.narrow(source, intoBFloat16: $0.baseAddress!, count: source.count); $1 = source.count
            }
        },
        Format(testDescription: "f16", exponentBits: 5, fractionBits: 10) { source in
            [Float](unsafeUninitializedCapacity: source.count) {
                Numbers.widen(float16: source, into: $0.baseAddress!, count: source.count); $1 = source.count
            }
        } narrow: { source in
            [UInt16](unsafeUninitializedCapacity: source.count) {
                Numbers.narrow(source, intoFloat16: $0.baseAddress!, count: source.count); $1 = source.count
            }
        },
    ]
}

@Suite struct ConversionTests {
    private static let patterns = (0...UInt16.max).map { $0 }

    @Test(arguments: Format.all)
    func everyPatternHasItsValue(format: Format) {
        let widened = format.widen(Self.patterns)
        let wrong = zip(Self.patterns, widened).filter { pattern, found in
            let expected = value(pattern, exponentBits: format.exponentBits, fractionBits: format.fractionBits)
            return expected.isNaN ? !found.isNaN : Double(found) != expected || (found.sign == .minus) != (pattern >> 15 == 1)
        }
        #expect(wrong.isEmpty)
    }

    @Test(arguments: Format.all)
    func everyPatternComesBack(format: Format) {
        let found = format.narrow(format.widen(Self.patterns))
        let wrong = zip(Self.patterns, found).filter { pattern, found in
            // A NaN stays one, though it may become quiet.
            pattern & 0x7fff > format.infinity ? found & 0x7fff <= format.infinity || found >> 15 != pattern >> 15 : found != pattern
        }
        #expect(wrong.isEmpty)
    }

    /// Between each two neighbours: their middle goes to the even one, and the fp32 numbers beside the middle to the nearer one.
    @Test(arguments: Format.all)
    func numbersBetweenNeighboursGoToTheNearer(format: Format) {
        let lower = (0..<format.infinity).map { $0 }
        let values = lower.map { value($0, exponentBits: format.exponentBits, fractionBits: format.fractionBits) }
        // The neighbour of the largest number is where the next binade would begin: beyond the middle lies infinity.
        let gapAtTheEnd = values[values.count - 1] - values[values.count - 2]
        let upper = values.dropFirst() + [values[values.count - 1] + gapAtTheEnd]
        var inputs: [Float] = [], expected: [UInt16] = []
        for (pattern, (low, high)) in zip(lower, zip(values, upper)) {
            let middle = Float((low + high) / 2)
            guard Double(middle) == (low + high) / 2 else { continue }
            inputs += [middle.nextDown, middle, middle.nextUp]
            expected += [pattern, pattern % 2 == 0 ? pattern : pattern + 1, pattern + 1]
        }
        #expect(inputs.count > 3 * 31_000)
        #expect(format.narrow(inputs) == expected)
        #expect(format.narrow(inputs.map { -$0 }) == expected.map { $0 | 0x8000 })
    }

    @Test(arguments: Format.all)
    func extremes(format: Format) {
        let inputs: [Float] = [.infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -0.0]
        #expect(format.narrow(inputs) == [format.infinity, format.infinity | 0x8000, format.infinity, 0, 0x8000])
        // Every payload, also those that lie in the bits that are dropped.
        let payloads = [0x7f80_0001, 0x7f80_ffff, 0x7fc0_0000, 0x7fff_ffff, 0xff80_0001, 0xffff_ffff].map { Float(bitPattern: $0) }
        #expect(format.narrow(payloads).allSatisfy { $0 & 0x7fff > format.infinity })
    }

    @Test(arguments: [0, 1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 100])
    func runsOfAnyLengthTouchNothingElse(count: Int) {
        let source = randomFloats(count, seed: 1)
        var narrow = [UInt16](repeating: 0xabcd, count: count + 3)
        cleave_f32_to_bf16(source, &narrow, count)
        #expect(narrow == source.map { BFloat16($0).bits } + [0xabcd, 0xabcd, 0xabcd])
        cleave_f32_to_f16(source, &narrow, count)
        #expect(Array(narrow.suffix(3)) == [0xabcd, 0xabcd, 0xabcd])
        var wide = [Float](repeating: 9, count: count + 3)
        cleave_f16_to_f32(narrow, &wide, count)
        #expect(wide.suffix(3) == [9, 9, 9] && zip(wide, source).allSatisfy { abs($0 - $1) <= 0x1p-12 })
        cleave_bf16_to_f32(source.map { BFloat16($0).bits }, &wide, count)
        #expect(wide == source.map { BFloat16($0).float } + [9, 9, 9])
    }

    @Test func oneNumberIsRoundedAsMany() {
        let inputs = randomFloats(10_000, seed: 2).enumerated().map { $1 * Float(sign: .plus, exponent: $0 % 250 - 125, significand: 1) }
        #expect(inputs.map { BFloat16($0).bits } == Format.all[0].narrow(inputs))
        #expect(BFloat16(.nan).float.isNaN)
    }

    @Test func windowsAreConvertedRowByRow() {
        let source = randomMatrix(5, 9, seed: 3)
        let target = Matrix<BFloat16>(repeating: BFloat16(0), 5, 9).asWindow(BFloat16(7))
        convert(source.asWindow(.nan), into: target)
        #expect(target.elements() == source.elements().map(BFloat16.init))
        let back = Matrix<Float>(repeating: 0, 5, 9)
        convert(target, into: back)
        #expect(back.elements() == source.elements().map { BFloat16($0).float })
    }
}
