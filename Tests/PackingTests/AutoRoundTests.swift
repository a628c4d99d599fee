// AutoRound's checkpoints, where they lie as GPTQ's do.

import Compression
import JSON
import LinearAlgebra
import Packing
import Safetensors
import Testing

@Suite struct AutoRoundTests {
    private static func reader(_ format: String, _ more: String = "") throws -> any WeightReader {
        let json =
            #"{"quant_method":"auto-round","packing_format":"\#(format)","bits":4,"group_size":32,"sym":false,"data_type":"int","iters":0,"static_kv_granularity":"tensor","static_attention_granularity":"tensor","autoround_version":"0.15.1"\#(more)}"#
        return try #require(WeightReaders(JSONValue(parsing: Array(json.utf8))).codes)
    }

    /// Zero points are stored less one, or as they are.
    @Test(arguments: [("auto_round:auto_gptq", ZeroPoints.lessOne), ("auto_round:gptqmodel", .plain), ("auto_round", .plain)])
    func codesAreGPTQs(format: String, zeroPoints: ZeroPoints) throws {
        let written = GPTQFormat(zeroPoints: zeroPoints), reader = try Self.reader(format)
        let options = QuantizationOptions(group: 32, symmetric: false, scaleType: .f16), whole = QuantizedTile.sample(64, 64, options)
        // The first version cannot hold a zero point of zero.
        let zeros = Matrix(whole.zeros.elements().map { max($0, 1) }, 64, 2)
        let tile = QuantizedTile(codes: whole.codes, scales: whole.scales, zeros: zeros, group: 32, groupOfColumn: nil, loss: [], energy: [])
        let sample = SampleLinear([EncodedTile(tile, options: options)])
        let tensors = try MemoryTensors(sample, written), name = sample.linear.name
        let read = try reader.options(name, tensors.description), shape = try reader.shape(name, read, in: tensors)
        #expect(read.bits == 4 && read.group == 32 && !read.symmetric && !read.actOrder)
        let found = try reader.tile(name, rows: 0..<64, of: shape, read, in: tensors).decoded()
        #expect(found.codes.elements() == tile.codes.elements() && found.zeros.elements() == tile.zeros.elements())
    }

    /// Routers keep their weights, other linears may have settings of their own; names, or expressions that are looked for anywhere.
    @Test func settingsOfLinears() throws {
        let reader = try Self.reader(
            "auto_round:auto_gptq",
            #","extra_config":{"m.gate":{"bits":16,"data_type":"float"},"m.down":{"bits":8,"group_size":64},".*attn.*":{"sym":true},"m.up":{"bits":null}}"#)
        let scales: (String) -> TensorDescription? = { try? TensorDescription(name: $0, type: .f16, shape: [1]) }
        #expect(try reader.options("m.down", scales).bits == 8 && reader.options("m.down", scales).group == 64)
        #expect(try reader.options("m.self_attn.q", scales).symmetric && !reader.options("m.up", scales).symmetric && reader.options("m.up", scales).bits == 4)
        #expect(throws: PackingError.self) { try reader.options("m.gate", scales) }
    }

    @Test(arguments: [
        ("auto_round:auto_awq", "", "`packing_format` of AutoRound is `auto_round:auto_awq`"), ("auto_round:mlx", "", "`auto_round:mlx`"),
        ("auto_round", #","extra_config":{"m.down":{"act_bits":8}}"#, "extra_config.m.down.act_bits"),
        ("auto_round", #","rotation_config":{"a":1}"#, "rotation_config"),
    ])
    func whatCannotBeReadIsNamed(format: String, more: String, words: String) {
        let error = #expect(throws: PackingError.self) { try Self.reader(format, more) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
}
