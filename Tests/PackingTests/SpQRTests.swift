// SpQR's words, its tensors as readers find them again, and what damage to them is called.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct SpQRTests {
    private static let options = QuantizationOptions(spqr: 3, group: 16)
    private static let permuted = QuantizationOptions(spqr: 3, group: 16, actOrder: true)

    private static func half(_ number: Float) -> UInt16 {
        var (number, half) = (number, UInt16(0))
        Numbers.narrow(&number, intoFloat16: &half, count: 1)
        return half
    }

    /// Codes of all values, second levels that differ from block to block, and outliers in some rows.
    private static func tile(_ rows: Int, columns: Int, _ options: QuantizationOptions = options, outliers: Bool = true) -> EncodedTile {
        func codes(_ columns: Int, _ factor: Int) -> Matrix<UInt8> { Matrix((0..<rows * columns).map { UInt8(factor * $0 / 5 % 8) }, rows, columns) }
        let groups = columns / 16, blocks = SpQRScales.blocks(rows: rows)
        func numbers(_ first: Float) -> Matrix<Float> { Matrix((0..<blocks * groups).map { first + Float($0) / 16 }, blocks, groups) }
        let added = (0..<rows * columns).map { place -> UInt16 in
            outliers && place / columns % 3 != 1 && place % 7 == 2 ? half(Float(place % 97 - 48) / 8) : 0
        }
        let spqr = SpQRScales(
            scaleCodes: codes(groups, 3), zeroCodes: codes(groups, 7), scaleSteps: numbers(0.125), scaleZeros: numbers(-2), zeroSteps: numbers(0.5),
            zeroZeros: numbers(-5), outliers: Matrix(added, rows, columns))
        let groupOfColumn = options.hasPermutedGroups ? (0..<columns).map { Int32(5 * $0 % columns / 16) } : nil
        let tile = QuantizedTile(
            codes: codes(columns, 11), scales: spqr.scales(), zeros: Matrix(uninitialized: rows, 0), group: 16, groupOfColumn: groupOfColumn, loss: [],
            energy: [], number: .spqr, spqr: spqr)
        return EncodedTile(tile, options: options)
    }

    private func sample(_ options: QuantizationOptions = options) -> SampleLinear {
        SampleLinear([Self.tile(64, columns: 96, options), Self.tile(32, columns: 96, options)], type: .bf16)
    }

    @Test(arguments: [false, true])
    func tensorsAreAsDescribed(isPermuted: Bool) throws {
        let format = SpQRFormat(), sample = sample(isPermuted ? Self.permuted : Self.options)
        #expect(format.refusal(sample.linear) == nil)
        let tensors = try format.tensors(sample.linear), entries = try #require(sample.linear.entries)
        let shapes = [
            "m.down.dense_weights": [96 * 6], "m.down.row_offsets": [97], "m.down.col_vals": [entries], "m.down.in_perm": [isPermuted ? 48 : 0],
        ]
        #expect(entries > 100 && Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) }) == shapes)
        for tensor in tensors { #expect(try sample.bytes(tensor.name, format).count == tensor.byteCount, "\(tensor.name)") }
        let offsets: [Int32] = try sample.elements("m.down.row_offsets", format, as: Int32.self)
        #expect(offsets.first == 0 && offsets.last == Int32(entries) && zip(offsets, offsets.dropFirst()).allSatisfy { $0 <= $1 })
        let text = try #require(try format.configuration([sample.linear], ignored: ["lm_head", "re:.*gate$"])).text()
        for part in [
            #""quant_method": "spqr""#, #""bits": 3"#, #""beta1": 16"#, #""beta2": 16"#, #""m.down.dense_weights.shape": 576"#,
            #""m.down.row_offsets.shape": 97"#, "\"m.down.col_vals.shape\": \(entries)", "\"m.down.in_perm.shape\": \(isPermuted ? 48 : 0)", #""lm_head""#,
            #""lm_head.weight""#,
            #"".*gate$""#,
        ] { #expect(text.contains(part), "\(part)") }
    }

    /// A word by the fields that spqr_quant's documentation names.
    @Test func wordsHaveTheirFields() throws {
        let tile = Self.tile(32, columns: 32), sample = SampleLinear([tile]), decoded = tile.decoded(), spqr = try #require(decoded.spqr)
        let words: [UInt64] = try sample.elements("m.down.dense_weights", SpQRFormat(), as: UInt64.self)
        for (block, group, row) in [(0, 0, 0), (0, 1, 15), (1, 0, 3), (1, 1, 8)] {
            let word = words[(block * 2 + group) * 16 + row], source = block * 16 + row
            #expect(UInt8(word & 7) == spqr.scaleCodes[source, group] && UInt8(word >> 3 & 7) == spqr.zeroCodes[source, group])
            for column in 0..<16 { #expect(UInt8(word >> UInt64(6 + 3 * column) & 7) == decoded.codes[source, group * 16 + column]) }
            let shared = [spqr.scaleSteps, spqr.zeroSteps, spqr.scaleZeros, spqr.zeroZeros].map { Self.half($0[block, group]) }
            #expect(word >> 54 == UInt64(shared[row / 4] >> UInt16(row / 2 % 2 * 8) & 0xff))
        }
    }

    /// Rows come back as clients compute them, whole and by pieces that are no whole tiles.
    @Test(arguments: [false, true])
    func linearsComeBack(isPermuted: Bool) throws {
        let format = SpQRFormat(), sample = sample(isPermuted ? Self.permuted : Self.options)
        let reader = try sample.reader(format), tensors = try MemoryTensors(sample, format), options = try reader.options("m.down", tensors.description)
        let shape = try reader.shape("m.down", options, in: tensors)
        #expect(shape == LinearShape(rows: 96, columns: 96))
        try reader.check("m.down", shape, options, tensors.description)
        for height in [96, 32, 7] {
            var weights: [Float] = []
            for start in stride(from: 0, to: 96, by: height) {
                let tile = try reader.tile("m.down", rows: start..<min(start + height, 96), of: shape, options, in: tensors)
                let own = Matrix<Float>(uninitialized: tile.layout.rows, 96)
                tile.dequantize(into: own)
                weights += own.elements()
            }
            #expect(weights == sample.weights(), "by \(height) rows")
        }
    }

    @Test func linearsWithoutOutliersComeBack() throws {
        let format = SpQRFormat(), sample = SampleLinear([Self.tile(32, columns: 16, outliers: false)])
        let reader = try sample.reader(format), tensors = try MemoryTensors(sample, format)
        #expect(tensors.description("m.down.col_vals")?.shape == [0] && tensors.description("m.down.col_vals")?.type == .i32)
        let tile = try reader.tile("m.down", rows: 0..<32, of: LinearShape(rows: 32, columns: 16), Self.options, in: tensors)
        let weights = Matrix<Float>(uninitialized: 32, 16)
        tile.dequantize(into: weights)
        #expect(weights.elements() == sample.weights())
    }

    @Test func whatItCannotCarryIsRefused() throws {
        let format = SpQRFormat(), tile = Self.tile(32, columns: 64)
        func refusal(_ sample: SampleLinear) -> String? { format.refusal(sample.linear) }
        #expect(refusal(SampleLinear([32], columns: 64, QuantizationOptions(bits: 3, group: 16)))?.contains("method: spqr") == true)
        #expect(refusal(SampleLinear([tile], transposed: true))?.contains("transposed") == true)
        #expect(refusal(SampleLinear([Self.tile(24, columns: 64)]))?.contains("[24, 64]") == true)
        func layout(_ columns: Int, _ options: QuantizationOptions) -> PackedLinear {
            PackedLinear(
                name: "m.up", sourceType: .bf16, isTransposed: false, rows: 64, tile: TileLayout(rows: 64, columns: columns, options: options), tileCount: 1)
        }
        #expect(format.refusal(layout(32784, Self.options))?.contains("32768") == true)
        #expect(format.refusal(layout(32768, Self.options)) == nil)
        #expect(format.refusal(layout(64, QuantizationOptions(spqr: 4, group: 16)))?.contains("3 bits in groups of 16") == true)
        #expect(format.refusal(layout(64, QuantizationOptions(spqr: 3, group: 32)))?.contains("not 3 in groups of 32") == true)
        for other in [CompressedTensorsFormat(), GPTQFormat(zeroPoints: .plain), MarlinFormat(), GGUFFormat()] as [any WeightFormat] {
            let refusal = other.refusal(SampleLinear([tile]).linear)
            #expect(refusal != nil, "\(other)")
            if !(other is GGUFFormat) { #expect(refusal?.contains("format: spqr") == true, "\(refusal ?? "")") }
        }
        #expect(DenseFormat().refusal(SampleLinear([tile]).linear) == nil)
        let many = PackedLinear(
            name: "m.up", sourceType: .bf16, isTransposed: false, rows: 1 << 20, tile: tile.layout, tileCount: 1 << 15, entries: Int(Int32.max) + 1)
        let error = #expect(throws: PackingError.self) { try format.tensors(many) }
        #expect(error?.description.contains("m.up.row_offsets") == true)
    }

    @Test func damageIsNamed() throws {
        let format = SpQRFormat(), sample = sample(Self.permuted), shape = LinearShape(rows: 96, columns: 96)
        let reader = try sample.reader(format), sound = try MemoryTensors(sample, format), options = try reader.options("m.down", sound.description)
        func expectError(_ words: String, _ tensor: String, _ change: (inout [UInt8]) -> Void) throws {
            var tensors = sound, bytes = try sample.bytes(tensor, format)
            change(&bytes)
            try tensors.set(tensor, bytes)
            let error = #expect(throws: PackingError.self) { try reader.tile("m.down", rows: 0..<96, of: shape, options, in: tensors) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
        try expectError("row_offsets says -1 at 3", "m.down.row_offsets") { $0.replaceSubrange(12..<16, with: [255, 255, 255, 255]) }
        try expectError("row_offsets says 65536 at 5", "m.down.row_offsets") { $0.replaceSubrange(20..<24, with: [0, 0, 1, 0]) }
        try expectError("row_offsets says 0 at 95", "m.down.row_offsets") { $0.replaceSubrange(380..<384, with: [0, 0, 0, 0]) }
        try expectError("an outlier in column 96 of row 0", "m.down.col_vals") { $0.replaceSubrange(0..<2, with: [96, 0]) }
        try expectError("an outlier in column 65535 of row 0", "m.down.col_vals") { $0.replaceSubrange(0..<2, with: [255, 255]) }
        try expectError("infinite or not a number", "m.down.col_vals") { $0.replaceSubrange(2..<4, with: [0, 0x7c]) }
        // Bits that are all 1 make steps and zero points that are no numbers.
        try expectError("of row 0, column", "m.down.dense_weights") { $0.replaceSubrange(0..<128, with: Array(repeating: 255, count: 128)) }
        try expectError("two outliers", "m.down.col_vals") { $0.replaceSubrange(4..<8, with: Array($0[0..<4])) }
        try expectError("column 96 at 0", "m.down.in_perm") { $0.replaceSubrange(0..<2, with: [96, 0]) }
        try expectError("each of which comes once", "m.down.in_perm") { $0.replaceSubrange(2..<4, with: Array($0[0..<2])) }
        #expect(throws: PackingError.self) { try reader.check("m.down", LinearShape(rows: 96, columns: 80), options, sound.description) }
    }

    /// Shapes that no linear has.
    @Test func shapesThatAreNoneAreNamed() throws {
        let format = SpQRFormat(), sample = sample(), sound = try MemoryTensors(sample, format), reader = try sample.reader(format)
        func expectError(_ words: String, _ tensor: String, _ type: ElementType, _ shape: [Int]) throws {
            var tensors = sound
            tensors.tensors[tensor] = (try TensorDescription(name: tensor, type: type, shape: shape), [])
            let error = #expect(throws: PackingError.self) { _ = try reader.shape("m.down", Self.options, in: tensors) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
        // Outliers of 16 rows beside each other have one offset for all of them.
        try expectError("ptcsr", "m.down.row_offsets", .i32, [7])
        try expectError("no list of I32", "m.down.row_offsets", .i64, [97])
        try expectError("no list of I64", "m.down.dense_weights", .i64, [96, 6])
        try expectError("575 words", "m.down.dense_weights", .i64, [575])
        try expectError("in_perm has 47 words", "m.down.in_perm", .i32, [47])
        var without = sound
        without.tensors["m.down.in_perm"] = nil
        #expect(throws: PackingError.self) { _ = try reader.shape("m.down", Self.options, in: without) }
        for (key, value) in [("bits", 4), ("beta1", 32), ("beta2", 8)] as [(String, JSONValue)] {
            let configuration = try #require(try format.configuration([sample.linear], ignored: [])).setting(key, value)
            let error = #expect(throws: PackingError.self) { _ = try WeightReaders(configuration) }
            #expect(error?.description.contains(key) == true, "\(error?.description ?? "")")
        }
    }

    /// Bytes of a tile that no solver made.
    @Test func tilesThatAreNoneAreSeen() {
        for part in [\TileLayout.levels, \.outliers, \.entryCounts] {
            let tile = Self.tile(32, columns: 32)
            #expect(tile.hasValidCodes)
            tile.bytes.base[tile.layout[keyPath: part].lowerBound + 1] ^= 0x7c
            #expect(!tile.hasValidCodes, "\(part)")
        }
    }
}
