// GPTQ's format, byte by byte, and back.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

/// The tensors of a linear in memory.
struct MemoryTensors: TensorSource {
    var tensors: [String: (description: TensorDescription, bytes: [UInt8])] = [:]

    init() {}

    /// What a format makes of a linear.
    init(_ sample: SampleLinear, _ format: any WeightFormat) throws {
        for tensor in try format.tensors(sample.linear) { tensors[tensor.name] = (tensor, try sample.bytes(tensor.name, format)) }
    }

    func description(_ name: String) -> TensorDescription? { tensors[name]?.description }

    func withBytes<R>(of name: String, bytes: Range<Int>?, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        let all = try #require(tensors[name]).bytes
        // At an odd address: files need not align what they hold.
        let shifted = [0] + all[bytes ?? 0..<all.count]
        return try shifted.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[1...])) }
    }

    mutating func set(_ name: String, _ bytes: [UInt8]) throws {
        tensors[name] = (try #require(tensors[name]).description, bytes)
    }
}

extension SampleLinear {
    /// The reader that config.json leads to.
    func reader(_ format: any WeightFormat) throws -> any WeightReader {
        let configuration = try #require(try format.configuration([linear], ignored: ["lm_head"]))
        return try #require(WeightReaders(configuration).codes)
    }

    /// Expects that a format's reader finds every tile's codes, scales, zeros and groups again, whole and by pieces.
    func expectComesBack(_ format: any WeightFormat, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let (reader, tensors) = (try reader(format), try MemoryTensors(self, format))
        let options = try reader.options(linear.name, tensors.description)
        let shape = try reader.shape(linear.name, options, in: tensors)
        #expect(shape == LinearShape(rows: linear.rows, columns: linear.columns), sourceLocation: sourceLocation)
        try reader.check(linear.name, shape, options, tensors.description)
        let decoded = tiles.map { $0.decoded() }
        let expected = (
            codes: decoded.flatMap { $0.codes.elements() }, scales: decoded.flatMap { $0.scales.elements() }, zeros: decoded.flatMap { $0.zeros.elements() }
        )
        for height in [linear.rows, 32, 7] {
            var (codes, scales, zeros): ([UInt8], [Float], [UInt8]) = ([], [], [])
            for start in stride(from: 0, to: linear.rows, by: height) {
                let encoded = try reader.tile(linear.name, rows: start..<min(start + height, linear.rows), of: shape, options, in: tensors)
                #expect(encoded.groupOfColumn == tiles[0].groupOfColumn, sourceLocation: sourceLocation)
                let tile = encoded.decoded()
                codes += tile.codes.elements()
                scales += tile.scales.elements()
                zeros += tile.zeros.elements()
            }
            #expect(codes == expected.codes && scales == expected.scales && zeros == expected.zeros, "by \(height) rows", sourceLocation: sourceLocation)
        }
    }
}

@Suite struct GPTQFormatTests {
    private let first = GPTQFormat(zeroPoints: .lessOne), second = GPTQFormat(zeroPoints: .plain)

    /// A linear of one row of the published vectors' codes, the same in every row.
    private func vectors(bits: Int) -> SampleLinear {
        let options = QuantizationOptions(bits: bits, group: 32)
        let row: [UInt8] = (0..<32).map { UInt8((5 * $0 + 1) % (1 << bits)) }
        let codes = (0..<32).flatMap { _ in row }
        let tile = QuantizedTile(
            codes: Matrix(codes, 32, 32), scales: Matrix(repeating: 0.5, 32, 1), zeros: Matrix(repeating: UInt8(1 << (bits - 1)), 32, 1), group: 32,
            groupOfColumn: nil, loss: [], energy: [])
        return SampleLinear([EncodedTile(tile, options: options)])
    }

    @Test(
        arguments: [
            (2, [0x3939_3939, 0x3939_3939]), (3, [0xf19d_50f1, 0x50f1_9d50, 0x9d50_f19d]),
            (4, [0x4fa5_0b61, 0xc72d_83e9, 0x4fa5_0b61, 0xc72d_83e9]),
            (8, [0x100b_0601, 0x241f_1a15, 0x3833_2e29, 0x4c47_423d, 0x605b_5651, 0x746f_6a65, 0x8883_7e79, 0x9c97_928d]),
        ] as [(Int, [UInt32])])
    func codesRunDownTheColumns(bits: Int, words: [UInt32]) throws {
        let sample = vectors(bits: bits)
        #expect(try sample.elements("m.down.qweight", second, as: UInt32.self) == words.flatMap { [UInt32](repeating: $0, count: 32) })
        #expect(try sample.elements("m.down.g_idx", second, as: Int32.self) == [Int32](repeating: 0, count: 32))
        #expect(try sample.elements("m.down.scales", second, as: UInt16.self) == [UInt16](repeating: 0x3800, count: 32))
    }

    /// Zero points of symmetric 4-bit codes, 8, and less one.
    @Test func zeroPointsOfBothVersions() throws {
        #expect(try vectors(bits: 4).elements("m.down.qzeros", first, as: UInt32.self) == [UInt32](repeating: 0x7777_7777, count: 4))
        #expect(try vectors(bits: 4).elements("m.down.qzeros", second, as: UInt32.self) == [UInt32](repeating: 0x8888_8888, count: 4))
        #expect(try vectors(bits: 2).elements("m.down.qzeros", first, as: UInt32.self) == [0x5555_5555, 0x5555_5555])
        // 3, packed to 3-bit fields across words.
        #expect(try vectors(bits: 3).elements("m.down.qzeros", first, as: UInt32.self) == [0xdb6d_b6db, 0xb6db_6db6, 0x6db6_db6d])
    }

    @Test(arguments: [2, 3, 4, 8], [true, false])
    func tensorsAreAsDescribedAndComeBack(bits: Int, symmetric: Bool) throws {
        for group in [-1, 16, 64] {
            let sample = SampleLinear([64, 32], columns: 160, QuantizationOptions(bits: bits, group: group, symmetric: symmetric, scaleType: .f16))
            #expect(second.refusal(sample.linear) == nil)
            for tensor in try second.tensors(sample.linear) { #expect(try sample.bytes(tensor.name, second).count == tensor.byteCount, "\(tensor.name)") }
            try sample.expectComesBack(second)
            if symmetric { try sample.expectComesBack(first) }
        }
    }

    @Test(arguments: [2, 3, 4, 8])
    func theFirstVersionCannotHoldAZeroPointOfZero(bits: Int) throws {
        let options = QuantizationOptions(bits: bits, group: 32, symmetric: false, scaleType: .f16)
        let sample = SampleLinear([32], columns: 64, options)
        #expect(throws: PackingError.self) { try sample.bytes("m.down.qzeros", first) }
        let whole = sample.tiles[0].decoded()
        let raised = QuantizedTile(
            codes: whole.codes, scales: whole.scales, zeros: Matrix(whole.zeros.elements().map { max($0, 1) }, 32, 2), group: 32, groupOfColumn: nil, loss: [],
            energy: [])
        try SampleLinear([EncodedTile(raised, options: options)]).expectComesBack(first)
    }

    @Test func groupsOfPermutedColumns() throws {
        let options = QuantizationOptions(group: 16, symmetric: false, actOrder: true, scaleType: .f16)
        let groups = (0..<64).map { Int32(($0 * 7) % 4) }
        let sample = SampleLinear([EncodedTile(.sample(32, 64, options, groupOfColumn: groups), options: options)])
        #expect(try sample.elements("m.down.g_idx", second, as: Int32.self) == groups)
        #expect(try #require(try second.configuration([sample.linear], ignored: []))["desc_act"]?.boolean == true)
        try sample.expectComesBack(second)
        var tensors = try MemoryTensors(sample, second)
        let reader = try sample.reader(second)
        var groupBytes = [UInt8](repeating: 0, count: 256)
        groupBytes[9 * 4] = 4
        try tensors.set("m.down.g_idx", groupBytes)
        let found = try reader.options("m.down", tensors.description)
        let error = #expect(throws: PackingError.self) {
            try reader.tile("m.down", rows: 0..<32, of: LinearShape(rows: 32, columns: 64), found, in: tensors)
        }
        #expect(error?.description == "tensor m.down.g_idx puts column 9 into group 4 of 4")
    }

    @Test func whatContradictsTheConfigurationIsRefused() throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 32, scaleType: .f16))
        let (reader, sound) = (try sample.reader(first), try MemoryTensors(sample, first))
        let options = try reader.options("m.down", sound.description)
        func message(_ tensor: String, _ bytes: [UInt8]) throws -> String? {
            var tensors = sound
            try tensors.set(tensor, bytes)
            return #expect(throws: PackingError.self) {
                try reader.tile("m.down", rows: 0..<32, of: LinearShape(rows: 32, columns: 64), options, in: tensors)
            }?.description
        }
        #expect(try message("m.down.qzeros", [UInt8](repeating: 0x66, count: 32))?.contains("has the zero point 7 in group 0") == true)
        #expect(try message("m.down.g_idx", [UInt8](repeating: 0, count: 256))?.contains("column 32 into group 0") == true)
        let check = #expect(throws: PackingError.self) { try reader.check("m.down", LinearShape(rows: 32, columns: 96), options, sound.description) }
        #expect(check?.description.contains("m.down.qweight has shape [8, 32], expected [12, 32]") == true)
        #expect(first.refusal(SampleLinear([32], columns: 80, QuantizationOptions()).linear)?.contains("multiples of 32") == true)
        #expect(first.refusal(SampleLinear([33], columns: 64, QuantizationOptions()).linear)?.contains("multiples of 32") == true)
    }

    @Test func configurationOfOneScheme() throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 32, actOrder: true, wholeGroups: true))
        let value = try #require(try first.configuration([sample.linear], ignored: ["lm_head"]))
        #expect(value["quant_method"]?.string == "gptq" && value["checkpoint_format"]?.string == "gptq" && value["bits"]?.integer == 4)
        #expect(value["group_size"]?.integer == 32 && value["sym"]?.boolean == true && value["desc_act"]?.boolean == false && value["dynamic"] == nil)
        #expect(try first.companions([sample.linear], ignored: ["lm_head"]).map(\.name) == ["quantize_config.json"])
        #expect(try first.companions([sample.linear], ignored: ["lm_head"])[0].text == value.text())
        // Order is kept for a conversion to a format that names it.
        let options = try sample.reader(first).options("m.down") { name in
            name == "m.down.scales" ? try? TensorDescription(name: name, type: .f16, shape: [1]) : nil
        }
        #expect(options == QuantizationOptions(group: 32, actOrder: true, staticGroups: true, scaleType: .f16))
    }

    @Test func whatDiffersIsUnderDynamic() throws {
        let four = QuantizationOptions(group: 32, scaleType: .f16), eight = QuantizationOptions(bits: 8, group: -1, symmetric: false, scaleType: .f16)
        func linear(_ name: String, _ options: QuantizationOptions) -> PackedLinear {
            PackedLinear(name: name, sourceType: .bf16, isTransposed: false, SampleLinear([32], columns: 64, options).tiles)
        }
        let linears = [
            linear("model.layers.0.a", four), linear("model.layers.0.b", eight), linear("model.layers.1.a", four), linear("model.layers.1.b", eight),
        ]
        let value = try #require(try second.configuration(linears, ignored: ["model.layers.0.c", "model.layers.1.c", "lm_head"]))
        #expect(
            value["dynamic"]?.object?.map(\.key) == [
                #"-:^model\.layers\.0\.c$"#, #"-:^model\.layers\.1\.c$"#, #"+:^model\.layers\.0\.b$"#, #"+:^model\.layers\.1\.b$"#,
            ])
        #expect(value["modules_in_block_to_quantize"]?.array?[0].array?.map(\.string) == ["a", "b"])
        let reader = try #require(WeightReaders(JSONValue(parsing: Array(value.text().utf8))).codes)
        func options(_ name: String) throws -> QuantizationOptions { try reader.options(name) { try? TensorDescription(name: $0, type: .f16, shape: [1]) } }
        #expect(try options("model.layers.1.a") == four && options("model.layers.1.b") == eight)
        #expect(throws: PackingError.self) { try options("model.layers.1.c") }
        // Blocks that differ cannot be told to transformers.
        #expect(
            try #require(try second.configuration(linears, ignored: ["model.layers.0.c", "model.layers.2.a", "lm_head"]))["modules_in_block_to_quantize"] == nil
        )
    }

    @Test(arguments: [
        (#"{"quant_method": "awq", "bits": 4}"#, "`awq` cannot be read"), (#"{"quant_method": "gptq", "bits": 5}"#, "2, 3, 4 or 8 bits"),
        (#"{"quant_method": "gptq", "bits": 4, "group_size": 0}"#, "group_size"), (#"{"quant_method": "gptq"}"#, "no `bits`"),
        (#"{"quant_method": "gptq", "bits": 4, "group_size": 9223372036854775807}"#, "group_size"),
        (#"{"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_p"}"#, "gptq_p"),
        (#"{"quant_method": "gptq", "bits": 4, "dynamic": {"+:x": {"bits": "8"}}}"#, "dynamic.+:x"),
    ])
    func badConfigurationsAreRefused(json: String, part: String) throws {
        let value = try JSONValue(parsing: Array(json.utf8))
        #expect(#expect(throws: PackingError.self) { try WeightReaders(value) }?.description.contains(part) == true)
    }

    @Test func patternsThatDisagreeAreRefused() throws {
        let json = #"{"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*down": {"bits": 8}, "m\\.": {"bits": 2}, "-:.*up": {}}}"#
        let reader = try #require(WeightReaders(JSONValue(parsing: Array(json.utf8))).codes)
        func bits(_ name: String) throws -> Int { try reader.options(name) { try? TensorDescription(name: $0, type: .f16, shape: [1]) }.bits }
        #expect(try bits("n.down") == 8 && bits("m.gate") == 2 && bits("n.gate") == 4)
        #expect(throws: PackingError.self) { try bits("m.down") }
        #expect(throws: PackingError.self) { try bits("n.up") }
    }

    private static func reader(_ more: String) throws -> any WeightReader {
        try #require(WeightReaders(JSONValue(parsing: Array(#"{"bits":4,"group_size":32\#(more)}"#.utf8))).codes)
    }

    @Test(arguments: [
        (#","quant_method":"gptq""#, "gptq"), (#","quant_method":"GPTQ","checkpoint_format":"gptq_v2","meta":{"x":1},"damp_percent":0.1"#, "gptq_v2"),
        (#","quant_method":"gptq","is_marlin_format":true"#, "marlin"),
        (#","quant_method":"gptq","is_marlin_format":false,"model_file_base_name":"model""#, "gptq"),
        (#","quant_method":"gptq","adapter":null,"rotation":null,"pack_dtype":"int32","data_type":"int","lm_head":false"#, "gptq"),
    ])
    func spellingsAreRead(more: String, name: String) throws {
        #expect(try Self.reader(more).name == name)
    }

    @Test(arguments: [
        ("", "no `quant_method`"), (#","quant_method":"awq""#, "`awq`"), (#","load_in_4bit":true"#, "`bitsandbytes`"),
        (#","quant_method":"gptq","format":"gptq_p""#, "`gptq_p`"),
        (#","quant_method":"gptq","pack_dtype":"int16""#, "pack_dtype"), (#","quant_method":"gptq","rotation":"hadamard""#, "rotation"),
        (#","quant_method":"gptq","adapter":{"name":"lora"}"#, "adapter"), (#","quant_method":"gptq","sym":"true""#, "sym"),
        (#","quant_method":"gptq","new_thing":1"#, "new_thing"),
        (#","quant_method":"gptq","dynamic":{"+:a":{"new_thing":1}}"#, "dynamic.+:a.new_thing"),
    ])
    func whatChangesNumbersIsRefused(more: String, words: String) {
        let error = #expect(throws: PackingError.self) { try Self.reader(more) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
}
