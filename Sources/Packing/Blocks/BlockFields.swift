// Where codes, levels and scales lie in the bytes of a block.

internal import Compression

/// Where the bits of a small number lie: the lower ones in one byte, the others in another.
struct BitField {
    var byte: Int
    var shift: Int
    /// Bits in the first byte.
    var bits: Int
    var higherByte = 0
    var higherShift = 0

    func write(_ value: UInt8, to block: UnsafeMutablePointer<UInt8>) {
        block[byte] |= (value & UInt8(truncatingIfNeeded: (1 << bits) - 1)) << UInt8(shift)
        if bits < 8 { block[higherByte] |= (value >> UInt8(bits)) << UInt8(higherShift) }
    }

    /// - Parameter all: bits of the number.
    func read(_ block: UnsafePointer<UInt8>, all: Int) -> UInt8 {
        let lower = (block[byte] >> UInt8(shift)) & UInt8(truncatingIfNeeded: (1 << bits) - 1)
        guard all > bits else { return lower }
        return lower | ((block[higherByte] >> UInt8(higherShift)) & UInt8((1 << (all - bits)) - 1)) << UInt8(bits)
    }
}

/// The places of a block's parts. Source: ggml, `ggml-common.h` (`block_q4_K` and others) and `ggml-quants.c` (`dequantize_row_*`).
struct BlockFields {
    let codes: [BitField]
    let levels: [BitField]
    let offsetLevels: [BitField]
    /// The bytes where the 16-bit numbers begin.
    let scale: Int
    let offset: Int?
    /// The bits of a level, and what is added to it when it is stored; those of 8 bits are signed bytes.
    let levelBits: Int
    let levelBias: Int
    /// Whether codes are signed bytes, counted from their middle.
    var isSigned = false

    init(
        codes: [BitField], levels: [BitField] = [], offsetLevels: [BitField] = [], scale: Int = 0, offset: Int? = nil, levelBits: Int = 0,
        levelBias: Int = 0, isSigned: Bool = false
    ) {
        (self.codes, self.levels, self.offsetLevels, self.scale, self.offset) = (codes, levels, offsetLevels, scale, offset)
        (self.levelBits, self.levelBias, self.isSigned) = (levelBits, levelBias, isSigned)
    }

    /// - Precondition: a type of blocks.
    init(_ number: NumberType) {
        switch number {
        case .q8_0: self.init(codes: (0..<32).map { BitField(byte: 2 + $0, shift: 0, bits: 8) }, isSigned: true)
        case .q4_0, .iq4_nl: self.init(codes: Self.halves(from: 2))
        case .q4_1: self.init(codes: Self.halves(from: 4), offset: 2)
        case .q5_0: self.init(codes: Self.halves(from: 6, higher: 2))
        case .q5_1: self.init(codes: Self.halves(from: 8, higher: 4), offset: 2)
        case .q4_k:
            self.init(
                codes: Self.runs(from: 16), levels: Self.sixBits(from: 4, second: 0), offsetLevels: Self.sixBits(from: 4, second: 4), offset: 2, levelBits: 6)
        case .q5_k:
            self.init(
                codes: Self.runs(from: 48, higher: 16), levels: Self.sixBits(from: 4, second: 0), offsetLevels: Self.sixBits(from: 4, second: 4), offset: 2,
                levelBits: 6)
        case .q6_k:
            let codes = (0..<256).map { column in
                let (half, quarter, place) = Self.quarters(column)
                return BitField(
                    byte: half * 64 + quarter % 2 * 32 + place, shift: quarter / 2 * 4, bits: 4, higherByte: 128 + half * 32 + place, higherShift: quarter * 2)
            }
            self.init(codes: codes, levels: (0..<16).map { BitField(byte: 192 + $0, shift: 0, bits: 8) }, scale: 208, levelBits: 8)
        case .q3_k:
            let codes = (0..<256).map { column in
                let (half, quarter, place) = Self.quarters(column)
                return BitField(byte: 32 + half * 32 + place, shift: quarter * 2, bits: 2, higherByte: column % 32, higherShift: column / 32)
            }
            let levels = (0..<16).map { group in
                BitField(byte: 96 + group % 8, shift: group / 8 * 4, bits: 4, higherByte: 104 + group % 4, higherShift: group / 4 * 2)
            }
            self.init(codes: codes, levels: levels, scale: 108, levelBits: 6, levelBias: 32)
        case .q2_k:
            let codes = (0..<256).map { column in
                let (half, quarter, place) = Self.quarters(column)
                return BitField(byte: 16 + half * 32 + place, shift: quarter * 2, bits: 2)
            }
            self.init(
                codes: codes, levels: (0..<16).map { BitField(byte: $0, shift: 0, bits: 4) },
                offsetLevels: (0..<16).map { BitField(byte: $0, shift: 4, bits: 4) },
                scale: 80, offset: 82, levelBits: 4)
        case .int, .fp8, .int8, .mxfp8, .mxfp4, .nvfp4, .ternary, .spqr: preconditionFailure("\(number) has no blocks")
        }
    }

    /// 32 codes: a byte holds four bits of a column and of the one 16 later; a fifth bit lies in 32 bits of their own.
    private static func halves(from byte: Int, higher: Int = 0) -> [BitField] {
        (0..<32).map { BitField(byte: byte + $0 % 16, shift: $0 / 16 * 4, bits: 4, higherByte: higher + $0 / 8, higherShift: $0 % 8) }
    }

    /// 256 codes in runs of 64: a byte holds four bits of a column and of the one 32 later.
    private static func runs(from byte: Int, higher: Int = 0) -> [BitField] {
        (0..<256).map {
            BitField(byte: byte + $0 / 64 * 32 + $0 % 32, shift: $0 / 32 % 2 * 4, bits: 4, higherByte: higher + $0 % 32, higherShift: $0 / 32)
        }
    }

    /// Eight numbers of six bits in 12 bytes that two such sets share: four whole, and four whose bits are spread.
    ///
    /// - Parameter second: 0 for the first set, 4 for the other.
    private static func sixBits(from byte: Int, second: Int) -> [BitField] {
        (0..<8).map {
            $0 < 4
                ? BitField(byte: byte + second + $0, shift: 0, bits: 6)
                : BitField(byte: byte + 8 + $0 - 4, shift: second, bits: 4, higherByte: byte + second + $0 - 4, higherShift: 6)
        }
    }

    private static func quarters(_ column: Int) -> (half: Int, quarter: Int, place: Int) { (column / 128, column % 128 / 32, column % 32) }
}
