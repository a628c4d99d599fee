// Files' heads against one that gguf 0.19 from PyPI wrote, and against damage.

import Foundation
import GGUF
import Testing

@Suite struct HeaderTests {
    private static let metadata = [
        GGUFEntry("general.architecture", .string("llama")), GGUFEntry("llama.block_count", .uint32(1)),
        GGUFEntry("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)), GGUFEntry("tokenizer.ggml.add_bos_token", .bool(true)),
        GGUFEntry("tokenizer.ggml.tokens", .strings(["a", "bc"])),
    ]

    private static func header() throws -> GGUFHeader {
        GGUFHeader(
            metadata: metadata,
            tensors: [
                try GGUFTensor(name: "output_norm.weight", type: .f32, shape: [3]), try GGUFTensor(name: "blk.0.attn_q.weight", type: .q8_0, shape: [2, 32]),
            ])
    }

    /// Sizes and places are those of gguf's own file of the same content, whose data begins at 384.
    @Test func placesAreThoseOfGGUFPy() throws {
        let header = try Self.header()
        #expect(header.bytes.count == 384 && header.offsets == [384, 416] && header.fileByteCount == 512)
        let expected = """
            474755460300000002000000000000000500000000000000140000000000000067656e6572616c2e617263686974656374757265080000000500000000000000\
            6c6c616d6111000000000000006c6c616d612e626c6f636b5f636f756e74040000000100000026000000000000006c6c616d612e617474656e74696f6e2e6c61\
            7965725f6e6f726d5f726d735f657073696c6f6e06000000acc527371c00000000000000746f6b656e697a65722e67676d6c2e6164645f626f735f746f6b656e\
            07000000011500000000000000746f6b656e697a65722e67676d6c2e746f6b656e73090000000800000002000000000000000100000000000000610200000000\
            000000626312000000000000006f75747075745f6e6f726d2e776569676874010000000300000000000000000000000000000000000000130000000000000062\
            6c6b2e302e6174746e5f712e77656967687402000000200000000000000002000000000000000800000020000000000000000000000000000000000000000000
            """
        #expect(header.bytes.map { (byte: UInt8) -> String in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined() == expected)
    }

    @Test func headsComeBack() throws {
        let header = try Self.header()
        var reader = GGUFReader(header.bytes, byteCount: header.fileByteCount)
        let (metadata, tensors, unknown) = try reader.read()
        #expect(metadata == Self.metadata && unknown.isEmpty)
        #expect(tensors.map(\.tensor) == header.tensors && tensors.map(\.bytes) == [384..<396, 416..<484])
    }

    /// Wherever a head is cut or a byte is changed, there is an error or a head, and never more than the file has.
    @Test func damageIsFound() throws {
        let header = try Self.header()
        for length in 0..<384 - 32 {
            var reader = GGUFReader(Array(header.bytes.prefix(length)), byteCount: 512)
            #expect(throws: GGUFFault.self) { try reader.read() }
        }
        for place in header.bytes.indices {
            for value: UInt8 in [0, 1, 0x7f, 0xff] {
                var bytes = header.bytes
                bytes[place] = value
                var reader = GGUFReader(bytes, byteCount: 512)
                if let (_, tensors, _) = try? reader.read() { #expect(tensors.allSatisfy { $0.bytes.upperBound <= 512 }) }
            }
        }
        var short = GGUFReader(header.bytes, byteCount: 480)
        #expect(throws: GGUFFault.self) { try short.read() }
    }

    /// A type that is not known is no reason to refuse a file; its other tensors are found.
    @Test func unknownTypesAreNamed() throws {
        let header = try Self.header()
        var bytes = header.bytes
        // The type of the first tensor, behind its name, its one dimension, and before its offset.
        let name = Array("output_norm.weight".utf8), start = try #require(bytes.indices.first { bytes[$0...].starts(with: name) })
        let place = start + name.count + 4 + 8
        #expect(bytes[place] == 0)
        bytes[place] = 99
        var reader = GGUFReader(bytes, byteCount: 512)
        let (_, tensors, unknown) = try reader.read()
        #expect(unknown.map(\.name) == ["output_norm.weight"] && unknown.first?.type == 99 && unknown.first?.shape == [3])
        #expect(tensors.map(\.tensor) == Array(header.tensors.dropFirst()))
        for byte in place - 8..<place { bytes[byte] = 0x7f }
        var large = GGUFReader(bytes, byteCount: 512)
        #expect(throws: GGUFFault.self) { try large.read() }
    }

    @Test func namesGoBothWays() throws {
        let names = [
            "model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight", "model.norm.weight": "output_norm.weight",
            "model.layers.12.self_attn.k_proj.bias": "blk.12.attn_k.bias", "model.layers.0.post_attention_layernorm.weight": "blk.0.ffn_norm.weight",
        ]
        for (transformers, gguf) in names {
            #expect(GGUFNames.llama.name(of: transformers) == gguf && GGUFNames.llama.transformersName(of: gguf) == transformers)
        }
        for other in ["model.layers.x.mlp.up_proj.weight", "model.layers.1.mlp.gate.weight", "weight", ""] {
            #expect(GGUFNames.llama.name(of: other) == nil)
        }
        #expect(GGUFNames.llama.transformersName(of: GGUFNames.frequencyFactors) == nil)
    }

    @Test func expertsShareATensor() {
        let names: [(String, String, Int, GGUFNames)] = [
            ("model.layers.3.block_sparse_moe.experts.11.w2.weight", "blk.3.ffn_down_exps.weight", 11, .mixtral),
            ("model.layers.0.mlp.experts.0.up_proj.weight", "blk.0.ffn_up_exps.weight", 0, .mixture),
            ("model.layers.7.mlp.experts.2.gate_proj.weight", "blk.7.ffn_gate_exps.weight", 2, .deepSeek),
        ]
        for (tensor, stack, expert, family) in names {
            let found = family.expertTensor(of: tensor)
            #expect(found?.stack == stack && found?.expert == expert)
            #expect(family.transformersName(ofStack: stack)?(expert) == tensor)
            #expect(family.name(of: tensor) == nil && family.transformersName(of: stack) == nil && GGUFNames.llama.expertTensor(of: tensor) == nil)
        }
        for other in ["model.layers.0.mlp.experts.x.up_proj.weight", "model.layers.0.mlp.experts.1.up_proj.bias", "model.layers.0.mlp.experts.1.w1.weight"] {
            #expect(GGUFNames.mixture.expertTensor(of: other) == nil)
        }
        let shared = "model.layers.1.mlp.shared_expert_gate.weight"
        #expect(GGUFNames.qwen2Mixture.name(of: shared) == "blk.1.ffn_gate_inp_shexp.weight" && GGUFNames.qwen2Mixture.isSingleRow(shared))
        #expect(GGUFNames.deepSeek.name(of: "model.layers.4.mlp.gate.e_score_correction_bias") == "blk.4.exp_probs_b.bias")
        #expect(GGUFNames.deepSeek.transformersName(of: "blk.4.exp_probs_b.bias") == "model.layers.4.mlp.gate.e_score_correction_bias")
    }

    @Test func keysAndValuesOfLatentVectorsAreTwoTensors() {
        let tensor = "model.layers.2.self_attn.kv_b_proj.weight", names = GGUFNames.deepSeek
        #expect(names.latentName(of: tensor)?(.keys) == "blk.2.attn_k_b.weight" && names.name(of: tensor) == nil)
        for half in GGUFNames.LatentHalf.allCases {
            let found = names.latentName(of: tensor).flatMap { names.transformersName(ofHalf: $0(half)) }
            #expect(found?.name == tensor && found?.half == half)
        }
        #expect(GGUFNames.llama.latentName(of: tensor) == nil)
    }

    @Test func rowsAreWholeBlocks() {
        #expect(throws: GGUFError.self) { try GGUFTensor(name: "x", type: .q4_k, shape: [2, 288]) }
        #expect(throws: GGUFError.self) { try GGUFTensor(name: "x", type: .f32, shape: [Int.max / 2, 8]) }
        // Also where there are no rows.
        #expect(throws: GGUFError.self) { try GGUFTensor(name: "x", type: .q8_0, shape: [0, Int.max - 31]) }
    }
}
