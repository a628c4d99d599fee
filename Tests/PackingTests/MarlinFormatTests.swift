// Marlin's format against its published order, and back.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct MarlinFormatTests {
    private let format = MarlinFormat()

    /// Scales above 256 are negative.
    /// codes: row and column -> code, in tiles of 64 rows.
    private func sample(rows: Int, columns: Int, group: Int, code: (Int, Int) -> Int) -> SampleLinear {
        let options = QuantizationOptions(group: group, scaleType: .f16)
        let groups = options.groupCount(columns: columns)
        return SampleLinear(
            stride(from: 0, to: rows, by: 64).map { first in
                let codes: [UInt8] = (0..<64 * columns).map { UInt8(code(first + $0 / columns, $0 % columns)) }
                let scales: [Float] = (0..<64 * groups).map { (first * groups + $0) % 1024 }.map { Float($0 > 256 ? -$0 : $0) }
                let tile = QuantizedTile(
                    codes: Matrix(codes, 64, columns), scales: Matrix(scales, 64, groups), zeros: Matrix(repeating: UInt8(8), 64, groups), group: group,
                    groupOfColumn: nil, loss: [], energy: [])
                return EncodedTile(tile, options: options)
            })
    }

    /// For 128 columns and 256 rows of codes (7 column + 3 row) mod 16: words of the published packing, and the XXH3 of all of them.
    @Test func codesLieInThePublishedOrder() throws {
        let sample = sample(rows: 256, columns: 128, group: -1) { (7 * $1 + 3 * $0) % 16 }
        let words = try sample.elements("m.down.B", format, as: UInt32.self)
        #expect(words.count == 8 * 512)
        #expect(words[0] == 0x7ff7_0880 && words[4] == 0x5dd5_e66e && words[7 * 512 + 511] == 0x6ee6_f77f)
        #expect(try sample.bytes("m.down.B", format).withUnsafeBytes { Checksum.of($0) } == "c4f9568b33e9387c")
    }

    @Test func scalesLieInThePublishedOrder() throws {
        // The scale of a row is the row's number.
        let grouped = SampleLinear(sample(rows: 256, columns: 256, group: 128) { _, _ in 3 }.tiles)
        let halves = try grouped.elements("m.down.s", format, as: UInt16.self)
        var numbers = [Float](repeating: 0, count: halves.count)
        Numbers.widen(float16: halves, into: &numbers, count: halves.count)
        // Row r of group g has the scale 2 r + g.
        #expect(numbers[..<10] == [0, 16, 32, 48, 64, 80, 96, 112, 2, 18] && numbers[256] == 1 && numbers[64] == 128)
        let whole = sample(rows: 256, columns: 128, group: -1) { _, _ in 3 }
        let single = try whole.elements("m.down.s", format, as: UInt16.self)
        Numbers.widen(float16: single, into: &numbers, count: single.count)
        #expect(numbers[..<10] == [0, 1, 8, 9, 16, 17, 24, 25, 2, 3] && numbers[32] == 32)
        // One group of 128 of 128 columns is a whole row to Marlin.
        #expect(try sample(rows: 256, columns: 128, group: 128) { _, _ in 3 }.elements("m.down.s", format, as: UInt16.self) == single)
    }

    @Test(arguments: [(256, 128, -1), (256, 128, 128), (512, 384, 128), (512, 256, -1)])
    func linearsComeBack(rows: Int, columns: Int, group: Int) throws {
        let sample = sample(rows: rows, columns: columns, group: group) { ($0 * $0 + 5 * $1 + $1 / 16) % 16 }
        #expect(format.refusal(sample.linear) == nil)
        for tensor in try format.tensors(sample.linear) { #expect(try sample.bytes(tensor.name, format).count == tensor.byteCount) }
        try sample.expectComesBack(format)
        let value = try #require(try format.configuration([sample.linear], ignored: ["lm_head"]))
        #expect(value["checkpoint_format"]?.string == "marlin" && value["group_size"]?.integer == group && value["desc_act"]?.boolean == false)
    }

    @Test func whatMarlinLacksIsRefused() {
        func refusal(_ rows: Int, _ columns: Int, _ options: QuantizationOptions) -> String? {
            format.refusal(SampleLinear([rows], columns: columns, options).linear)
        }
        #expect(refusal(256, 128, QuantizationOptions(group: 128, actOrder: true, wholeGroups: true)) == nil)
        #expect(refusal(256, 128, QuantizationOptions(bits: 8, group: 128))?.contains("4 bits") == true)
        #expect(refusal(256, 128, QuantizationOptions(group: 128, symmetric: false))?.contains("symmetric") == true)
        #expect(refusal(256, 128, QuantizationOptions(group: 64))?.contains("not of 64") == true)
        #expect(refusal(256, 128, QuantizationOptions(group: 128, actOrder: true))?.contains("permuted") == true)
        #expect(refusal(128, 128, QuantizationOptions(group: 128))?.contains("[128, 128]") == true)
        #expect(refusal(256, 192, QuantizationOptions(group: 128))?.contains("[256, 192]") == true)
    }
}
