// Blocks of GGUF, byte by byte: those of ggml's layout, made and decoded by gguf 0.19 from PyPI.

import Compression
import LinearAlgebra
import Packing
import Testing

@Suite struct BlockTests {
    /// Codes q_i = (5 i + i / 32) mod 2^bits with scales 0.125 and 0.0625, and levels of all their bits.
    private static let blocks = [
        "q4_k":
            "0030002c858c93da83ce1964f1a85f061065ba0f54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed3287dc2176cb3287dc2176cb1065ba0f54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed3287dc2176cb1065ba0f76cb1065ba0f54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed3287dc21",
        "q5_k":
            "0030002c858c93da83ce1964f1a85f060000c0feff7f030000f8ffff0f0000e0ffff3f010080fcffff070000f0ffff1f1065ba0f54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed3287dc2176cb3287dc2176cb1065ba0f54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed3287dc2176cb1065ba0f76cb1065ba0f54a9fe4398ed3287dc2176cb1065ba0f54a9fe4398ed3287dc21",
        "q6_k":
            "2075ca1f64b90e53a8fd4297ec3186db2075ca1f64b90e53a8fd4297ec3186db3186db2075ca1f64b90e53a8fd4297ec3186db2075ca1f64b90e53a8fd4297ec64b90e53a8fd4297ec3186db2075ca1f64b90e53a8fd4297ec3186db2075ca1f75ca1f64b90e53a8fd4297ec3186db2075ca1f64b90e53a8fd4297ec3186db20888888dcdddd2d222262777777888888dddddd212222727777b7888888dddddd8888d8dddd1d222222777777888888dcdddd2d222262777777888888dddddd21818e9ba8b5c2cfdce9f603101d2a37440030",
        "q3_k":
            "f0873ce10f78c31ef0873ce10f78c31ef0873ce10f78c31ef0873ce10f78c31ee4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93d54cb32a91087fe67888899d0030",
        "q2_k":
            "2174c71a6db00356a9fc4f92e5388bdee4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e93e4394e930030002c",
    ]

    /// What gguf decodes of them: the first weights, and the sum of all.
    private static let decoded: [(NumberType, first: [Float], sum: Double)] = [
        (.q4_k, [-0.1875, 2.9375, 6.0625, 9.1875], 6672), (.q5_k, [], 14224), (.q6_k, [508, 428.625, 349.25, 269.875], 1904),
        (.q3_k, [13.5, -3.375, 6.75, -10.125], 40), (.q2_k, [-0.125, 0, 0.125, 0.25], 240),
    ]

    /// Of 32 weights x_i = ((7 i + 3) mod 32 - 16) / 8, whose codes no tie makes ambiguous.
    private static let rounded: [(NumberType, String)] = [
        (.q8_0, "082499d0084077b1e8205791c800386fa9e0184f89c0f83067a1d8104781b9f0285f"), (.q4_1, "223400c091d5084c7fb3e62a5d91c4083b7fa2e6"),
        (.q5_0, "00309c3963c633aa1188ff66dd44bb22990077ee55cc"), (.q5_1, "003000c09c3963c633aa1188ff66dd44bb22990077ee55cc"),
    ]

    /// Rows of 32 weights, of which gguf makes the blocks above; the second row has the same numbers times 0.4375.
    private let sample: Matrix<Float> = {
        let row: [Float] = (0..<32).map { (column: Int) -> Float in Float((7 * column + 3) % 32 - 16) / 8 }
        let smaller: [Float] = row.map { $0 * 0.4375 }
        return Matrix(row + smaller, 2, 32)
    }()

    private func tile(_ number: NumberType, _ hex: String, columns: Int) -> EncodedTile {
        var bytes: [UInt8] = []
        var rest = hex[...]
        while !rest.isEmpty {
            bytes.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
            rest = rest.dropFirst(2)
        }
        let layout = TileLayout(rows: 1, columns: columns, options: QuantizationOptions(number))
        let all = Matrix<UInt8>(repeating: 0, 1, layout.byteCount)
        for (index, byte) in bytes.enumerated() { all[0, index] = byte }
        return EncodedTile(layout: layout, bytes: all)
    }

    private func hex(_ tile: EncodedTile, rows: Int = 1) -> String {
        tile.withCodeBytes { (bytes: UnsafeRawBufferPointer) -> String in
            let some = bytes.prefix(bytes.count / tile.layout.rows * rows)
            return some.map { (byte: UInt8) -> String in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
        }
    }

    @Test(arguments: decoded) func decodesWhatGGUFDecodes(number: NumberType, first: [Float], sum: Double) throws {
        let tile = tile(number, try #require(Self.blocks[number.rawValue]), columns: 256)
        let weights = Matrix<Float>(uninitialized: 1, 256)
        tile.dequantize(into: weights)
        #expect(Array(weights.elements().prefix(first.count)) == first)
        let all: Double = weights.elements().reduce(0.0) { (sum: Double, weight: Float) -> Double in sum + Double(weight) }
        #expect(all == sum)
        let codes = 1 << tile.layout.options.bits
        let expected: [UInt8] = (0..<256).map { (column: Int) -> UInt8 in UInt8((5 * column + column / 32) % codes) }
        #expect(tile.decoded().codes.elements() == expected)
        // The same bytes come of what was decoded.
        #expect(hex(EncodedTile(tile.decoded(), options: tile.layout.options)) == Self.blocks[number.rawValue])
    }

    @Test(arguments: rounded) func roundsAsGGUFDoes(number: NumberType, expected: String) throws {
        let options = QuantizationOptions(number)
        #expect(hex(EncodedTile(try roundToNearest(weights: sample, options: options), options: options)) == expected)
    }

    /// gguf's own has ties to the upper code, which the column loop has to the even one: scale and layout are the same, and each code is one of the nearest.
    @Test func halfBytesOfQ4() throws {
        let options = QuantizationOptions(.q4_0), expected = "0034a2d5194c8fb3f72a6e91d5084c7fb3e6"
        let found = EncodedTile(try roundToNearest(weights: sample, options: options), options: options)
        #expect(hex(found).hasPrefix("0034"))
        let theirs = tile(.q4_0, expected, columns: 32)
        #expect(hex(EncodedTile(theirs.decoded(), options: options)) == expected)
        let (ours, other) = (Matrix<Float>(uninitialized: 2, 32), Matrix<Float>(uninitialized: 1, 32))
        found.dequantize(into: ours)
        theirs.dequantize(into: other)
        for column in 0..<32 {
            let (own, their) = (ours[0, column] - sample[0, column], other[0, column] - sample[0, column])
            #expect(own.magnitude == their.magnitude)
        }
    }

    /// Codes (5 i + 1) mod 16 with the scale 0.125, as gguf decodes them.
    @Test func numbersOfIQ4NL() {
        let bytes = "00301166bb0055aaff4499ee3388dd2277cc", tile = tile(.iq4_nl, bytes, columns: 32)
        let numbers: [Float] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
        let weights = Matrix<Float>(uninitialized: 1, 32), expected = (0..<32).map { numbers[(5 * $0 + 1) % 16] / 8 }
        tile.dequantize(into: weights)
        #expect(weights.elements() == expected)
        #expect(hex(EncodedTile(tile.decoded(), options: tile.layout.options)) == bytes)
    }

    /// What was solved comes back as it was, of every type, with rows that are no multiple of the kernels' lanes.
    @Test(arguments: NumberType.allCases.filter { $0.blocks != nil }) func comesBack(number: NumberType) throws {
        let numbers: [Float] = (0..<5 * 512).map { (place: Int) -> Float in
            let number = Float((place * 7919 + 13) % 1009 - 504) / 700
            return number * Float(1 + place / 512)
        }
        let weights = Matrix(numbers, 5, 512)
        for grid: Grid in [.minmax, .mse] {
            let options = QuantizationOptions(number, grid: grid), solved = try roundToNearest(weights: weights, options: options)
            let tile = EncodedTile(solved, options: options)
            let (direct, decoded) = (Matrix<Float>(uninitialized: 5, 512), Matrix<Float>(uninitialized: 5, 512))
            solved.dequantize(into: direct)
            tile.dequantize(into: decoded)
            #expect(direct.elements() == decoded.elements())
            let rules = try #require(number.blocks)
            #expect(tile.layout.blockBytesPerRow == 512 / rules.columns * rules.byteCount)
        }
    }

    @Test func rowsOfHeadsArePaired() {
        let pairing = RowPairing(headRows: 8)
        #expect(pairing.sources(8..<16) == [8, 12, 9, 13, 10, 14, 11, 15])
        #expect(pairing.places(8..<16) == [8, 10, 12, 14, 9, 11, 13, 15])
    }
}
