// The tensors of both formats, byte by byte, and what they refuse.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

/// A linear of two tiles.
struct SampleLinear {
    let linear: PackedLinear
    let tiles: [EncodedTile]

    init(_ rows: [Int], columns: Int, _ options: QuantizationOptions, type: ElementType = .f32, transposed: Bool = false) {
        self.init(rows.map { EncodedTile(.sample($0, columns, options), options: options) }, type: type, transposed: transposed)
    }

    init(_ tiles: [EncodedTile], type: ElementType = .f32, transposed: Bool = false) {
        self.tiles = tiles
        linear = PackedLinear(name: "m.down", sourceType: type, isTransposed: transposed, tiles)
    }

    func bytes(_ tensor: String, _ format: any WeightFormat) throws -> [UInt8] {
        var result: [UInt8] = []
        try format.write(tensor, of: linear, tile: { tiles[$0] }) { result += $0 }
        return result
    }

    func elements<T: BitwiseCopyable>(_ tensor: String, _ format: any WeightFormat, as _: T.Type) throws -> [T] {
        let bytes = try bytes(tensor, format)
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / MemoryLayout<T>.stride).map { raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self) }
        }
    }

    /// [rows, columns] of all tiles.
    func weights() -> [Float] {
        tiles.flatMap { tile in
            let weights = Matrix<Float>(repeating: 0, tile.layout.rows, tile.layout.columns)
            tile.dequantize(into: weights)
            return weights.elements()
        }
    }
}

extension PackedLinear {
    init(name: String, sourceType: ElementType, isTransposed: Bool, _ tiles: [EncodedTile]) {
        self.init(
            name: name, sourceType: sourceType, isTransposed: isTransposed, rows: tiles.reduce(0) { $0 + $1.layout.rows }, tile: tiles[0].layout,
            tileCount: tiles.count, entries: tiles.compactMap(\.entryCounts).reduce(nil) { ($0 ?? 0) + $1.reduce(0) { $0 + Int($1) } })
    }
}

@Suite struct CompressedTensorsTests {
    private let format = CompressedTensorsFormat()

    @Test(arguments: [2, 3, 4, 8], [true, false])
    func tensorsAreAsDescribed(bits: Int, symmetric: Bool) throws {
        let sample = SampleLinear([64, 35], columns: 96, QuantizationOptions(bits: bits, group: 32, symmetric: symmetric), type: .bf16)
        let tensors = try format.tensors(sample.linear)
        let words = 96 * bits / 32
        var shapes = ["m.down.weight_packed": [99, words], "m.down.weight_scale": [99, 3], "m.down.weight_shape": [2]]
        if !symmetric { shapes["m.down.weight_zero_point"] = [(99 * bits + 31) / 32, 3] }
        #expect(Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) }) == shapes)
        for tensor in tensors { #expect(try sample.bytes(tensor.name, format).count == tensor.byteCount, "\(tensor.name)") }
        #expect(try sample.elements("m.down.weight_shape", format, as: Int64.self) == [99, 96])
        let scales = sample.tiles.flatMap { $0.scales().elements() }
        #expect(try sample.elements("m.down.weight_scale", format, as: UInt16.self) == scales.map { BFloat16($0).bits })
        // Each row's codes are a stream of their own.
        let codes = sample.tiles.flatMap { tile in
            (0..<tile.layout.rows).flatMap { packed((0..<96).map { [codes = tile.decoded().codes, row = $0] in codes[row, $0] }, bits: bits) }
        }
        #expect(try sample.elements("m.down.weight_packed", format, as: UInt32.self) == codes)
    }

    @Test func zeroPointsArePackedAlongTheRows() throws {
        // 9 rows of 2 groups: zeros 0, 1 / 2, 3 / ... / 14, 15 / 0, 1 — one word and a part of another for each group.
        let sample = SampleLinear([9], columns: 32, QuantizationOptions(bits: 4, group: 16, symmetric: false))
        #expect(try sample.elements("m.down.weight_zero_point", format, as: UInt32.self) == [0xeca8_6420, 0xfdb9_7531, 0, 1])
    }

    @Test func whatClientsCannotReadIsRefused() {
        func refusal(_ options: QuantizationOptions, columns: Int = 64, transposed: Bool = false) -> String? {
            format.refusal(SampleLinear([32], columns: columns, options, transposed: transposed).linear)
        }
        #expect(refusal(QuantizationOptions(group: 32)) == nil)
        #expect(refusal(QuantizationOptions(group: -1), columns: 50) == nil)
        #expect(refusal(QuantizationOptions(group: 32, actOrder: true, staticGroups: true)) == nil)
        #expect(refusal(QuantizationOptions(group: -1, actOrder: true)) == nil)
        #expect(refusal(QuantizationOptions(bits: 3, group: 32)) == nil)
        #expect(refusal(QuantizationOptions(group: 32, actOrder: true))?.contains("static_groups: true") == true)
        #expect(refusal(QuantizationOptions(group: 32), columns: 80)?.contains("not a multiple of the group of 32") == true)
        #expect(refusal(QuantizationOptions(group: 32), transposed: true)?.contains("Conv1D") == true)
        #expect(DenseFormat().refusal(SampleLinear([32], columns: 80, QuantizationOptions(bits: 3, group: 32), transposed: true).linear) == nil)
    }

    @Test func configurationOfOneScheme() throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 32, actOrder: true, staticGroups: true))
        let text = try #require(try format.configuration([sample.linear], ignored: ["lm_head"])).text()
        for part in [
            #""quant_method": "compressed-tensors""#, #""format": "pack-quantized""#, "\"ignore\": [\n    \"lm_head\"\n  ]",
            "\"targets\": [\n        \"Linear\"\n      ]",
            #""num_bits": 4"#, #""type": "int""#, #""symmetric": true"#, #""strategy": "group""#, #""group_size": 32"#, #""actorder": "weight""#,
        ] { #expect(text.contains(part), "\(part)") }
        #expect(try format.configuration([], ignored: [])?.text() == nil)
    }

    @Test func configurationOfSeveralSchemesNamesTheLinears() throws {
        let four = SampleLinear([32], columns: 64, QuantizationOptions(group: 32)).linear
        let eight = SampleLinear([32], columns: 64, QuantizationOptions(bits: 8, group: -1, symmetric: false))
        let other = PackedLinear(name: "m.up", sourceType: .f32, isTransposed: false, eight.tiles)
        let text = try #require(try format.configuration([four, other, four], ignored: [])).text()
        #expect(text.contains("\"targets\": [\n        \"m.down\",\n        \"m.down\"\n      ]") && text.contains("\"targets\": [\n        \"m.up\"\n      ]"))
        #expect(text.contains("group_0") && text.contains("group_1") && !text.contains("group_2"))
        #expect(text.contains(#""strategy": "channel""#) && text.contains(#""group_size": null"#) && text.contains(#""ignore": []"#))
    }
}

@Suite struct ValueTests {
    /// A pruned linear of two tiles.
    private let sample: (linear: PackedLinear, tiles: [EncodedTile]) = {
        let tiles = [3, 2].map { rows in
            let layout = TileLayout(
                rows: rows, columns: 4, content: .values(.bf16), pruning: PruningOptions(sparsity: .pattern(pruned: 2, of: 4), scope: .rows))
            let values = Matrix((0..<rows * 4).map { $0 % 4 < 2 ? Float($0 + rows) : 0 }, rows, 4)
            return EncodedTile(.values(ValueTile(values: values, loss: [], energy: [])), layout: layout)
        }
        return (PackedLinear(name: "m.down", sourceType: .bf16, isTransposed: false, tiles), tiles)
    }()

    @Test(arguments: [DenseFormat(), CompressedTensorsFormat(), GPTQFormat(zeroPoints: .lessOne), MarlinFormat()] as [any WeightFormat])
    func valuesArePlainTensors(format: any WeightFormat) throws {
        #expect(format.refusal(sample.linear) == nil && sample.linear.holdsValues)
        let tensors = try format.tensors(sample.linear)
        #expect(tensors.map(\.name) == ["m.down.weight"] && tensors[0].shape == [5, 4] && tensors[0].type == .bf16)
        var bytes: [UInt8] = []
        try format.write("m.down.weight", of: sample.linear, tile: { sample.tiles[$0] }) { bytes += $0 }
        var expected: [UInt16] = []
        for rows in [3, 2] { for index in 0..<rows * 4 { expected.append(index % 4 < 2 ? BFloat16(Float(index + rows)).bits : 0) } }
        #expect(bytes == expected.withUnsafeBytes { Array($0) })
        #expect(try format.configuration([sample.linear], ignored: ["lm_head"])?.text() == nil)
    }

    @Test func besidePackedLinearsTheyAreIgnored() throws {
        let packed = SampleLinear([32], columns: 64, QuantizationOptions(group: 32)).linear
        let text = try #require(try CompressedTensorsFormat().configuration([sample.linear, packed], ignored: ["lm_head"])).text()
        #expect(text.contains("\"ignore\": [\n    \"m.down\",\n    \"lm_head\"\n  ]") && text.contains("\"targets\": [\n        \"Linear\"\n      ]"))
    }
}

@Suite struct DenseFormatTests {
    @Test(arguments: [ElementType.f32, .f16, .bf16], [false, true])
    func weightsAreDequantizedInTheSourcesType(type: ElementType, transposed: Bool) throws {
        let sample = SampleLinear([32, 7], columns: 40, QuantizationOptions(bits: 3, group: 16), type: type, transposed: transposed)
        let tensor = try #require(try DenseFormat().tensors(sample.linear).first)
        #expect(tensor.name == "m.down.weight" && tensor.shape == (transposed ? [40, 39] : [39, 40]) && tensor.type == type)
        let whole = Matrix(sample.weights(), 39, 40)
        let expected = (transposed ? whole.transposed() : whole).elements()
        switch type {
        case .f32: #expect(try sample.elements(tensor.name, DenseFormat(), as: Float.self) == expected)
        case .bf16: #expect(try sample.elements(tensor.name, DenseFormat(), as: UInt16.self) == expected.map { BFloat16($0).bits })
        default:
            var halves = [UInt16](repeating: 0, count: expected.count)
            Numbers.narrow(expected, intoFloat16: &halves, count: halves.count)
            #expect(try sample.elements(tensor.name, DenseFormat(), as: UInt16.self) == halves)
        }
        #expect(try DenseFormat().configuration([sample.linear], ignored: [])?.text() == nil)
    }
}
