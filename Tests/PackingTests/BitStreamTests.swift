// The bit stream against vectors of the formats' own tools, and back.

import Packing
import Testing

func packed(_ codes: [UInt8], bits: Int, step: Int = 1) -> [UInt32] {
    let count = (codes.count + step - 1) / step
    var words = [UInt32](repeating: 0xdead_beef, count: BitStream.wordCount(count, bits: bits))
    BitStream.pack(codes, step: step, count: count, bits: bits, into: &words)
    return words.map { UInt32(littleEndian: $0) }
}

@Suite struct BitStreamTests {
    /// What GPTQ's packing makes of 32 codes (5 i + 1) mod 2^bits.
    @Test(
        arguments: [
            (2, [0x3939_3939, 0x3939_3939]), (3, [0xf19d_50f1, 0x50f1_9d50, 0x9d50_f19d]),
            (4, [0x4fa5_0b61, 0xc72d_83e9, 0x4fa5_0b61, 0xc72d_83e9]),
            (8, [0x100b_0601, 0x241f_1a15, 0x3833_2e29, 0x4c47_423d, 0x605b_5651, 0x746f_6a65, 0x8883_7e79, 0x9c97_928d]),
        ] as [(Int, [UInt32])])
    func gptqVectors(bits: Int, words: [UInt32]) {
        #expect(packed((0..<32).map { UInt8((5 * $0 + 1) % (1 << bits)) }, bits: bits) == words)
    }

    /// compressed-tensors: -8 ... 7 in 4 bits, [-128, -1, 0, 127] in 8, (-4 ... 3) twice in 3, each plus 2^(bits - 1).
    @Test func compressedTensorsVectors() {
        #expect(packed((0..<16).map { UInt8($0) }, bits: 4) == [0x7654_3210, 0xfedc_ba98])
        #expect(packed([0, 127, 128, 255], bits: 8) == [0xff80_7f00])
        #expect(packed((0..<16).map { UInt8($0 % 8) }, bits: 3) == [0x88fa_c688, 0x0000_fac6])
    }

    @Test(arguments: [2, 3, 4, 8], [0, 1, 5, 10, 11, 31, 32, 33, 64, 97])
    func codesComeBack(bits: Int, count: Int) {
        let codes = (0..<count).map { UInt8(($0 * 7 + 3) % (1 << bits)) }
        let words = packed(codes, bits: bits)
        #expect(words.count == (count * bits + 31) / 32)
        var found = [UInt8](repeating: 0xee, count: count + 1)
        BitStream.unpack(words.map(\.littleEndian), count: count, bits: bits, into: &found)
        #expect(found == codes + [0xee])
        // Every third code of a longer run.
        var spread = [UInt8](repeating: 1, count: 3 * count)
        for (index, code) in codes.enumerated() { spread[3 * index] = code }
        #expect(packed(spread, bits: bits, step: 3) == words)
        var back = [UInt8](repeating: 1, count: 3 * count)
        BitStream.unpack(words.map(\.littleEndian), count: count, bits: bits, into: &back, step: 3)
        #expect(back == spread)
    }
}
