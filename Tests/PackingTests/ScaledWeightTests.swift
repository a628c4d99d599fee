// Weights that are numbers times block scales, against numbers worked out by hand.

import Compression
import Foundation
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct ScaledWeightTests {
    /// Tensors given by their bytes.
    private static func tensors(_ list: [(name: String, type: ElementType, shape: [Int], bytes: [UInt8])]) throws -> MemoryTensors {
        var result = MemoryTensors()
        for tensor in list { result.tensors[tensor.name] = (try TensorDescription(name: tensor.name, type: tensor.type, shape: tensor.shape), tensor.bytes) }
        return result
    }

    private static func float(_ values: [Float]) -> [UInt8] { values.map(\.bitPattern.littleEndian).withUnsafeBytes { Array($0) } }

    private static func weights(_ quantization: String, _ tensors: MemoryTensors) throws -> [ScaledWeight] {
        let reader = try #require(WeightReaders(JSONValue(parsing: Array(quantization.utf8))).scaled)
        return try reader.weights(tensors.tensors.keys.sorted(), module: { $0 }, tensors.description)
    }

    private static func values(_ weight: ScaledWeight, _ tensors: MemoryTensors, rows: Range<Int>? = nil, columns: Range<Int>? = nil) throws -> [Float] {
        let all = (rows: weight.shape.dropLast().reduce(1, *), columns: weight.shape[weight.shape.count - 1])
        let rows = rows ?? 0..<all.rows, columns = columns ?? 0..<all.columns
        let result = Matrix<Float>(repeating: 0, rows.count, columns.count)
        try weight.read(rows, columns: columns, in: tensors, into: result)
        return result.elements()
    }

    private static let fp8 = #"{"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [2, 3]}"#

    /// 3 x 4 in blocks of 2 x 3, the last of each direction cut off: zero, the least subnormal, one, the largest, and their negatives.
    private static func sample(scales: [Float] = [1, 2, 0.5, -4], type: ElementType = .f32) throws -> MemoryTensors {
        let bytes: [UInt8] = [0x00, 0x01, 0x38, 0x7e, 0x80, 0x81, 0xb8, 0xfe, 0x07, 0x08, 0x39, 0x40]
        return try tensors([
            ("m.weight", .f8e4m3, [3, 4], bytes),
            ("m.weight_scale_inv", type, [2, 2], type == .f32 ? float(scales) : scales.map { UInt8(127 + Int(log2($0))) }),
        ])
    }

    private static let least: Float = 0x1p-9

    @Test func blocksOfFloat8() throws {
        let tensors = try Self.sample(), weight = try #require(try Self.weights(Self.fp8, tensors).first)
        #expect(weight.tensor == "m.weight" && weight.parts == ["m.weight", "m.weight_scale_inv"] && weight.shape == [3, 4])
        let least = Self.least, half = Self.least / 2
        let expected: [Float] = [0, least, 1, 896, -0.0, -least, -1, -896, 7 * half, 8 * half, 0.5625, -8]
        #expect(try Self.values(weight, tensors) == expected)
        // Any rows and columns alone.
        for rows in [0..<1, 1..<3, 2..<3] {
            for columns in [0..<4, 1..<3, 3..<4] {
                let part = rows.flatMap { row in columns.map { expected[row * 4 + $0] } }
                #expect(try Self.values(weight, tensors, rows: rows, columns: columns) == part)
            }
        }
    }

    /// Experts in one tensor: two matrices of 3 x 2 in blocks of 2 x 3, each with scales of its own.
    @Test func severalMatrices() throws {
        let tensors = try Self.tensors([
            ("e.up", .f8e4m3, [2, 3, 2], [UInt8](repeating: 0x38, count: 12)),
            ("e.up_scale_inv", .bf16, [2, 2, 1], [0x80, 0x3f, 0x00, 0x40, 0x80, 0x40, 0x00, 0x41]),
        ])
        let weight = try #require(try Self.weights(Self.fp8, tensors).first)
        #expect(weight.tensor == "e.up" && weight.shape == [2, 3, 2])
        #expect(try Self.values(weight, tensors) == [1, 1, 1, 1, 2, 2, 4, 4, 4, 4, 8, 8])
        #expect(try Self.values(weight, tensors, rows: 2..<4, columns: 1..<2) == [2, 4])
    }

    @Test func exponentsAsScales() throws {
        let half = Self.least / 2
        let json = Self.fp8.replacingOccurrences(of: "}", with: #", "scale_fmt": "ue8m0"}"#)
        for type in [ElementType.f8e8m0, .u8] {
            let tensors = try Self.sample(scales: [1, 2, 0.5, 4], type: type), weight = try #require(try Self.weights(json, tensors).first)
            #expect(try Self.values(weight, tensors).suffix(4) == [7 * half, 8 * half, 0.5625, 8])
        }
        // Bytes are exponents only where config.json says so.
        #expect(Self.refusal(Self.fp8, try Self.sample(scales: [1, 1, 1, 1], type: .u8)).contains("is of type U8"))
    }

    @Test func oneScaleOfTheTensor() throws {
        for (suffix, shape) in [("_scale", []), ("_scale_inv", [1])] as [(String, [Int])] {
            let tensors = try Self.tensors([("m.weight", .f8e4m3, [1, 2], [0x38, 0xc0]), ("m.weight" + suffix, .f32, shape, Self.float([0.25]))])
            let weight = try #require(try Self.weights(#"{"quant_method": "fp8", "weight_block_size": null}"#, tensors).first)
            #expect(try Self.values(weight, tensors) == [0.25, -0.5])
        }
    }

    /// gpt-oss: 2 experts, 2 outputs, 32 inputs; the dense model has [experts, inputs, outputs].
    @Test func expertsInMXFP4() throws {
        var blocks = [UInt8](repeating: 0, count: 2 * 2 * 16)
        blocks[16] = 0x21  // Expert 0, output 1: inputs 0 and 1 are 0.5 and 1.
        blocks[48 + 15] = 0xf7  // Expert 1, output 1: inputs 30 and 31 are 6 and -6.
        let tensors = try Self.tensors([("e.up_blocks", .u8, [2, 2, 1, 16], blocks), ("e.up_scales", .u8, [2, 2, 1], [127, 128, 127, 0])])
        let weight = try #require(try Self.weights(#"{"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}"#, tensors).first)
        #expect(weight.tensor == "e.up" && weight.shape == [2, 32, 2])
        let all = try Self.values(weight, tensors)
        // Input 0 and 1 of expert 0, inputs 30 and 31 of expert 1, whose scale is a subnormal of fp32.
        #expect(Array(all[..<4]) == [0, 1, 0, 2] && Array(all[124...]) == [0, 0x1.8p-125, 0, -0x1.8p-125])
        #expect(try Self.values(weight, tensors, rows: 30..<34, columns: 1..<2) == [0, 0, 0, 0])
        #expect(try Self.values(weight, tensors, rows: 62..<64, columns: 1..<2) == [0x1.8p-125, -0x1.8p-125])
    }

    private static func group(_ weights: String, format: String) -> String {
        #"{"quant_method": "compressed-tensors", "quantization_status": "compressed", "format": "\#(format)", "ignore": ["lm_head"], "#
            + #""config_groups": {"group_0": {"targets": ["Linear"], "weights": {"symmetric": true, "dynamic": false, \#(weights)}}}}"#
    }

    private static let nvfp4 = group(
        #""num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "scale_dtype": "torch.float8_e4m3fn""#, format: "nvfp4-pack-quantized")

    /// The vector of formats' tables: the row x_i = (((7i + 3) mod 32) - 16) / 8 and the same by 0.4375, as compressed-tensors packs them.
    @Test func vectorOfNVFP4() throws {
        func bytes(_ hex: String) -> [UInt8] {
            stride(from: 0, to: hex.count, by: 2).map { UInt8(hex.dropFirst($0).prefix(2), radix: 16)! }
        }
        let tensors = try Self.tensors([
            ("m.weight_packed", .u8, [2, 16], bytes("cf51e73af60d75be62df49e62cf5ad64df51e73bf60d75be62df49e62cf5ad64")),
            ("m.weight_scale", .f8e4m3, [2, 2], bytes("7d7e7374")), ("m.weight_global_scale", .f32, [1], bytes("0000a844")),
        ])
        let weight = try #require(try Self.weights(Self.nvfp4, tensors).first)
        #expect(weight.tensor == "m.weight" && weight.shape == [2, 32] && weight.parts.count == 3)
        let found = try Self.values(weight, tensors)
        // The first byte is cf: -6 and -2 times 416 / 1344.
        let scale: Float = 416 / 1344
        #expect(found[0] == -6 * scale && found[1] == -2 * scale)
        for (column, value) in found.prefix(32).enumerated() {
            let exact = Float((7 * column + 3) % 32 - 16) / 8
            #expect(abs(value - exact) <= 0.32, "\(column)")
        }
    }

    private static func modelOpt(_ algorithm: String, _ more: String = "") -> String {
        #"{"quant_method": "modelopt", "quant_algo": "\#(algorithm)", "ignore": ["lm_head"], "producer": {"name": "modelopt"}, "config_groups": {}\#(more)}"#
    }

    /// Model Optimizer multiplies what compressed-tensors divides, and calls the packed numbers by the weight's own name.
    @Test func formsOfModelOptimizer() throws {
        let nvfp4 = try Self.tensors([
            ("m.weight", .u8, [1, 16], [0xcf] + [UInt8](repeating: 0, count: 15)), ("m.weight_scale", .f8e4m3, [1, 2], [0x38, 0x40]),
            ("m.weight_scale_2", .f32, [], Self.float([0.25])), ("m.input_scale", .f32, [], Self.float([1])),
        ])
        let weight = try #require(try Self.weights(Self.modelOpt("NVFP4"), nvfp4).first)
        #expect(weight.tensor == "m.weight" && weight.shape == [1, 32] && weight.parts == ["m.weight", "m.weight_scale", "m.weight_scale_2"])
        #expect(try Self.values(weight, nvfp4).prefix(3) == [-1.5, -0.5, 0])
        for (shape, scales, expected) in [([], [0.5], [0.5, -1, 1, 2]), ([2], [0.5, 2], [0.5, -1, 4, 8])] as [([Int], [Float], [Float])] {
            let fp8 = try Self.tensors([("m.weight", .f8e4m3, [2, 2], [0x38, 0xc0, 0x40, 0x48]), ("m.weight_scale", .f32, shape, Self.float(scales))])
            #expect(try Self.values(#require(try Self.weights(Self.modelOpt("FP8"), fp8).first), fp8) == expected)
        }
        let mxfp8 = try Self.tensors([("m.weight", .f8e4m3, [1, 32], [UInt8](repeating: 0x38, count: 32)), ("m.weight_scale", .u8, [1, 1], [126])])
        #expect(try Self.values(#require(try Self.weights(Self.modelOpt("MXFP8"), mxfp8).first), mxfp8) == [Float](repeating: 0.5, count: 32))
        for (scheme, words) in [(#""FP8""#, "FP8 by tensor"), (#"{"num_bits": 8, "type": "float"}"#, "float 8 bits by tensor")] {
            let json = Self.modelOpt("FP8", #", "kv_cache_scheme": \#(scheme)"#)
            #expect(try WeightReaders(JSONValue(parsing: Array(json.utf8))).cacheScheme == words)
        }
    }

    @Test func whatModelOptimizerAddsIsRefused() throws {
        let scaled: [(name: String, type: ElementType, shape: [Int], bytes: [UInt8])] = [
            ("m.weight", .f8e4m3, [1, 2], [0x38, 0x38]), ("m.weight_scale", .f32, [], Self.float([1])),
        ]
        let smoothed = try Self.tensors(scaled + [("m.pre_quant_scale", .f32, [2], Self.float([1, 2]))])
        #expect(Self.refusal(Self.modelOpt("FP8"), smoothed).contains("m.pre_quant_scale multiplies the inputs"))
        let integers = try Self.tensors([("m.weight", .u8, [1, 2], [0x38, 0x38]), ("m.weight_scale", .f32, [1, 1], Self.float([1]))])
        #expect(Self.refusal(Self.modelOpt("FP8"), integers).contains("tensor m.weight_scale is F32 [1, 1], with which m.weight (U8 [1, 2]) cannot be read"))
    }

    @Test func wholeNumbersWithZeroPoints() throws {
        let json = Self.group(#""num_bits": 8, "type": "int", "strategy": "channel""#, format: "int-quantized").replacingOccurrences(
            of: #""symmetric": true"#, with: #""symmetric": false"#)
        let tensors = try Self.tensors([
            ("m.weight", .i8, [2, 2], [0x80, 0x7f, 0xff, 0x01]), ("m.weight_scale", .f32, [2, 1], Self.float([0.5, 2])),
            ("m.weight_zero_point", .i8, [2, 1], [0xfe, 0x03]),
        ])
        let weight = try #require(try Self.weights(json, tensors).first)
        #expect(try Self.values(weight, tensors) == [-63, 64.5, -8, -4])
    }

    // MARK: - What is refused

    private static func refusal(_ quantization: String, _ tensors: MemoryTensors) -> String {
        (#expect(throws: PackingError.self) { try weights(quantization, tensors) })?.description ?? ""
    }

    @Test func scalesThatDoNotFit() throws {
        var tensors = try Self.sample()
        tensors.tensors["m.weight_scale_inv"] = nil
        #expect(Self.refusal(Self.fp8, tensors).contains("m.weight is of type F8_E4M3, and has no scales"))
        let another = Self.fp8.replacingOccurrences(of: "[2, 3]", with: "[2, 2]"), taller = Self.fp8.replacingOccurrences(of: "[2, 3]", with: "[1, 3]")
        #expect(try Self.values(#require(try Self.weights(another, Self.sample()).first), Self.sample()).count == 12)
        #expect(Self.refusal(taller, try Self.sample()).contains("m.weight_scale_inv has shape [2, 2], expected [3, 2]"))
    }

    @Test(arguments: [Float.infinity, .nan, 1e37])
    func scalesThatMakeNoNumbers(scale: Float) throws {
        let tensors = try Self.sample(scales: [1, scale, 1, 1]), weight = try #require(try Self.weights(Self.fp8, tensors).first)
        #expect(throws: PackingError.self) { try Self.values(weight, tensors) }
        // Not where no number is multiplied by it.
        #expect(throws: Never.self) { try Self.values(weight, tensors, rows: 2..<3) }
    }

    @Test(arguments: [
        (#"{"quant_method": "fp8", "fmt": "e5m2"}"#, "quantization_config.fmt"), (#"{"quant_method": "fp8", "weight_block_size": [128]}"#, "weight_block_size"),
        (#"{"quant_method": "fp8", "weight_block_size": [128, 0]}"#, "weight_block_size"), (#"{"quant_method": "fp8", "scale_fmt": "e5m3"}"#, "scale_fmt"),
        (modelOpt("W4A16_AWQ"), "`quant_algo` of Model Optimizer is `W4A16_AWQ`"), (modelOpt("FP8", #", "new_thing": 1"#), "new_thing"),
        (modelOpt("MIXED_PRECISION", #", "quantized_layers": {"a": {"quant_algo": "FP8"}, "b": {"quant_algo": "W8A16"}}"#), "`W8A16`"),
        (#"{"quant_method": "fp8", "new_thing": 1}"#, "new_thing"), (#"{"quant_method": "mxfp4", "new_thing": 1}"#, "new_thing"),
        (group(#""num_bits": 4, "type": "float", "strategy": "group", "group_size": 16"#, format: "mxfp4-pack-quantized"), "group_size 16"),
        (group(#""num_bits": 8, "type": "float", "strategy": "token""#, format: "float-quantized"), "strategy `token`"),
        (group(#""num_bits": 8, "type": "float", "strategy": "block""#, format: "float-quantized"), "block_structure"),
        (group(#""num_bits": 8, "type": "float", "strategy": "tensor", "new_thing": 1"#, format: "float-quantized"), "weights.new_thing"),
    ])
    func whatIsNotKnownIsRefused(json: String, words: String) throws {
        let error = #expect(throws: PackingError.self) { try WeightReaders(JSONValue(parsing: Array(json.utf8))) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
}
