// compressed-tensors read again, and what its reader refuses.

import Compression
import Foundation
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct CompressedTensorsReaderTests {
    private let format = CompressedTensorsFormat()

    @Test(arguments: [2, 3, 4, 8], [true, false])
    func linearsComeBack(bits: Int, symmetric: Bool) throws {
        for (group, columns, type) in [(-1, 50, ElementType.f32), (32, 96, .bf16), (16, 48, .f16)] {
            let sample = SampleLinear([64, 35], columns: columns, QuantizationOptions(bits: bits, group: group, symmetric: symmetric), type: type)
            #expect(format.refusal(sample.linear) == nil)
            try sample.expectComesBack(format)
        }
    }

    /// The deprecated groups of permuted columns, which other programs have written.
    @Test func groupsOfPermutedColumnsAreRead() throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 16, actOrder: true, staticGroups: true))
        var tensors = try MemoryTensors(sample, format)
        let name = "m.down.weight_g_idx", groups = (0..<64).map { Int32($0 % 4) }
        tensors.tensors[name] = (try TensorDescription(name: name, type: .i32, shape: [64]), groups.withUnsafeBytes { Array($0) })
        let reader = try Self.reader(weights: #""num_bits":4,"strategy":"group","group_size":16,"actorder":"group""#)
        let options = try reader.options("m.down", tensors.description)
        #expect(options.hasPermutedGroups)
        // Clients that are not told of them do not look at them.
        #expect(throws: PackingError.self) { try sample.reader(format).options("m.down", tensors.description) }
        let tile = try reader.tile("m.down", rows: 0..<32, of: LinearShape(rows: 32, columns: 64), options, in: tensors)
        #expect(tile.groupOfColumn == groups)
    }

    @Test func shapesThatDoNotFitAreRefused() throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 32))
        let (reader, sound) = (try sample.reader(format), try MemoryTensors(sample, format))
        let options = try reader.options("m.down", sound.description)
        for (rows, columns) in [(33, 64), (32, 0), (32, Int.max), (-1, 64)] {
            var tensors = sound
            try tensors.set("m.down.weight_shape", withUnsafeBytes(of: (rows, columns)) { Array($0) })
            #expect(throws: PackingError.self, "[\(rows), \(columns)]") { try reader.shape("m.down", options, in: tensors) }
        }
        let error = #expect(throws: PackingError.self) { try reader.check("m.up", LinearShape(rows: 32, columns: 64), options, sound.description) }
        #expect(error?.description == "tensor m.up.weight_packed is missing")
    }

    /// Schemes by what is written, not by how they were found: what was read again is written alike.
    @Test func schemesThatReadAlikeAreOne() throws {
        let linears = [QuantizationOptions(group: 32, grid: .mse), QuantizationOptions(group: 32, grid: .minmax)].map {
            SampleLinear([32], columns: 64, $0).linear
        }
        #expect(try #require(try format.configuration(linears, ignored: []))["config_groups"]?.object?.count == 1)
    }

    // MARK: - What config.json says

    private static func reader(_ json: String) throws -> any WeightReader {
        try #require(WeightReaders(JSONValue(parsing: Array(json.utf8))).codes)
    }

    private static func reader(weights: String, group: String = "", more: String = "") throws -> any WeightReader {
        let status = more.contains("quantization_status") ? "" : #","quantization_status":"compressed""#
        return try reader(
            #"{"quant_method":"compressed-tensors","config_groups":{"group_0":{"targets":["Linear"],"weights":{\#(weights)}\#(group)}}\#(more)\#(status)}"#)
    }

    private static let w4 = #""num_bits":4,"strategy":"group","group_size":16"#

    /// Spellings of one scheme: what clients take for it is read as it.
    @Test(arguments: [
        (w4, "", ""), (w4, "", #","format":"pack-quantized","quantization_status":"compressed""#), (w4, "", #","format":"mixed-precision""#),
        (w4, #","format":"pack-quantized","input_activations":null,"output_activations":null"#, #","format":"mixed-precision""#),
        (w4, "", #","format":"dense""#),
        (#""num_bits":4,"group_size":16"#, "", ""), (#""num_bits":4,"strategy":"GROUP","group_size":16,"type":"INT""#, "", ""),
        (
            w4
                + #","symmetric":true,"dynamic":false,"observer":"mse","observer_kwargs":{"a":1},"block_structure":null,"scale_dtype":null,"zp_dtype":"torch.int8""#,
            "", ""
        ),
        (w4 + #","actorder":false"#, "", #","version":"0.9.0","global_compression_ratio":1.5,"ignore":[],"kv_cache_scheme":null"#),
        (w4, "", #","kv_cache_scheme":{"num_bits":8,"type":"float","strategy":"attn_head","dynamic":false,"symmetric":true}"#),
        (w4, "", #","sparsity_config":{},"transform_config":{}"#),
        (w4, "", #","sparsity_config":{"format":"dense","global_sparsity":0.1},"transform_config":{"config_groups":{}}"#),
    ])
    func spellingsOfOneScheme(weights: String, group: String, more: String) throws {
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 16))
        let options = try Self.reader(weights: weights, group: group, more: more).options("m.down", MemoryTensors(sample, format).description)
        #expect(options.bits == 4 && options.group == 16 && options.symmetric && !options.actOrder)
    }

    /// Inputs that clients round to FP8 by token as they come change no weight, and are told.
    @Test func inputsInFP8() throws {
        let inputs = #""input_activations":{"num_bits":8,"type":"float","strategy":"token","dynamic":true,"symmetric":true}"#
        let sample = SampleLinear([32], columns: 64, QuantizationOptions(group: 16))
        let reader = try Self.reader(weights: Self.w4, group: "," + inputs)
        let options = try reader.options("m.down", MemoryTensors(sample, format).description)
        #expect(reader.quantizesActivations && options.activations == .dynamic && options.activationType == .fp8)
        let plain = try Self.reader(weights: Self.w4)
        #expect(try !plain.quantizesActivations && plain.options("m.down", MemoryTensors(sample, format).description).activations == .none)
        for other in [#""type":"int""#, #""dynamic":false"#, #""strategy":"tensor""#, #""num_bits":4"#, #""symmetric":false"#] {
            let key = other.prefix { $0 != ":" }
            let changed = inputs.replacingOccurrences(of: "\(key):[^,}]*", with: other, options: .regularExpression)
            #expect(throws: PackingError.self, "\(other)") { try Self.reader(weights: Self.w4, group: "," + changed) }
        }
    }

    /// How servers keep keys and values changes no weight, and is told.
    @Test(
        arguments: [
            (#"{"num_bits":8,"type":"float","strategy":"tensor"}"#, "float 8 bits by tensor"), (#"{"num_bits":8}"#, "int 8 bits by tensor"), ("null", nil),
        ] as [(String, String?)])
    func schemesOfCaches(scheme: String, words: String?) throws {
        let json =
            #"{"quant_method":"compressed-tensors","quantization_status":"compressed","config_groups":{"W4A16":["Linear"]},"kv_cache_scheme":\#(scheme)}"#
        #expect(try WeightReaders(JSONValue(parsing: Array(json.utf8))).cacheScheme == words)
    }

    /// Weights may be plain beside such a scheme, and without one there must be groups.
    @Test func schemesOfCachesAlone() throws {
        func readers(_ more: String) throws -> WeightReaders {
            let json = #"{"quant_method":"compressed-tensors","quantization_status":"compressed","config_groups":{}\#(more)}"#
            return try WeightReaders(JSONValue(parsing: Array(json.utf8)))
        }
        let alone = try readers(#","kv_cache_scheme":{"num_bits":8,"type":"float"}"#)
        #expect(alone.scaled == nil && alone.codes?.expectsCodes("m.down") == false && alone.cacheScheme == "float 8 bits by tensor")
        #expect(throws: PackingError.self) { try readers("") }
    }

    @Test func nestedConfigurationsAndPresetsAreRead() throws {
        let sample = SampleLinear([32], columns: 256, QuantizationOptions(group: 128))
        let description = try MemoryTensors(sample, format).description
        let scheme = #""quantization_status":"compressed","config_groups":{"W4A16":["Linear"]}"#
        for json in [
            #"{"quant_method":"compressed-tensors",\#(scheme)}"#,
            #"{"quant_method":"compressed-tensors","quantization_config":{\#(scheme)},"sparsity_config":{}}"#,
        ] {
            #expect(try Self.reader(json).options("m.down", description).group == 128)
        }
    }

    /// What would change the numbers is refused by name.
    @Test(arguments: [
        (w4, #","input_activations":{"num_bits":8,"dynamic":true}"#, "", "config_groups.group_0.input_activations"),
        (w4, #","output_activations":{"num_bits":8}"#, "", "config_groups.group_0.output_activations"),
        (w4, #","rotation":true"#, "", "config_groups.group_0.rotation"),
        (w4, "", #","transform_config":{"config_groups":{"u":{"type":"hadamard"}}}"#, "transform_config"),
        (w4, "", #","sparsity_config":{"format":"sparse-24-bitmask"}"#, "sparse-24-bitmask"),
        (w4, "", #","quantization_status":"frozen""#, "quantization_status"), (w4, "", #","quantization_status":null"#, "quantization_status` is `absent`"),
        (w4, "", #","format":"nvfp4-pack-quantized""#, "nvfp4-pack-quantized"),
        (w4, "", #","moe_sparsity_config":{"a":1}"#, "moe_sparsity_config"), (w4, "", #","new_thing":1"#, "new_thing"),
        (w4 + #","new_thing":1"#, "", "", "weights.new_thing"),
        (w4 + #","dynamic":true"#, "", "", "weights.dynamic"), (w4 + #","type":"float""#, "", "", "type `float`"),
        (w4 + #","scale_dtype":"torch.uint8""#, "", "", "weights.scale_dtype"),
        (w4 + #","actorder":"other""#, "", "", "weights.actorder"), (#""num_bits":4,"strategy":"tensor""#, "", "", "strategy `tensor`"),
        (#""num_bits":4"#, "", "", "strategy `tensor`"),
        (#""num_bits":4,"strategy":"channel","group_size":16"#, "", "", "strategy `channel`"), (#""num_bits":4,"strategy":"group""#, "", "", "no `group_size`"),
        (#""num_bits":5,"strategy":"channel""#, "", "", "weights.num_bits"),
        (#""num_bits":3,"strategy":"channel""#, "", #","version":"0.12.2""#, "before 0.18"),
        (w4, "", #","ignore":["re:("]"#, "no regular expression"),
    ])
    func whatChangesNumbersIsRefused(weights: String, group: String, more: String, words: String) {
        let error = #expect(throws: PackingError.self) { try Self.reader(weights: weights, group: group, more: more) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    /// As compressed-tensors chooses: names before patterns before classes, patterns in the order of their texts.
    @Test func schemesByTarget() throws {
        let json =
            #"{"quant_method":"compressed-tensors","quantization_status":"compressed","ignore":["lm_head","re:.*gate"],"config_groups":{"a":{"targets":["re:.*down","Linear"],"weights":{"num_bits":8,"strategy":"channel"}},"#
            + #""b":{"targets":["re:.*d","m.up"],"weights":{"num_bits":4,"strategy":"channel"}},"c":{"targets":["re:m.down"],"weights":{"num_bits":2,"strategy":"channel"}},"#
            + #""d":{"targets":["LlamaAttention"]}}}"#
        let reader = try Self.reader(json)
        let description: (String) -> TensorDescription? = { try? TensorDescription(name: $0, type: .f16, shape: [1]) }
        let scales: (String) -> TensorDescription? = { $0.hasSuffix("_scale") ? description($0) : nil }
        #expect(try ["m.up", "m.down", "m.d", "m.other"].map { try reader.options($0, scales).bits } == [4, 4, 4, 8])
        #expect(throws: PackingError.self) { try reader.options("m.gate", scales) }
        #expect(["m.up", "m.gate", "lm_head", "m.other"].map(reader.expectsCodes) == [true, false, false, true])
        let twice =
            #"{"quant_method":"compressed-tensors","quantization_status":"compressed","config_groups":{"a":{"targets":["Linear"],"weights":{"num_bits":8,"strategy":"channel"}},"#
            + #""b":{"targets":["Linear"],"weights":{"num_bits":4,"strategy":"channel"}}}}"#
        #expect(throws: PackingError.self) { try Self.reader(twice) }
    }
}
