// Shapes of published models: their parameters against published counts, their arithmetic against sums by hand.

import Foundation
import Testing
import Transformers

private let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

private func shape(_ name: String) throws -> Architecture {
    let path = "\(repository)/Benchmarks/shapes/\(name)/config.json"
    return try Architecture(configuration: try #require(FileManager.default.contents(atPath: path)), source: path)
}

private let small = """
    {"model_type": "deepseek_v3", "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32, "num_hidden_layers": 3,
     "first_k_dense_replace": 1, "n_routed_experts": 8, "n_shared_experts": 2, "n_group": 1, "topk_group": 1, "num_key_value_heads": 4, "num_experts_per_tok": 2, "num_attention_heads": 4, "q_lora_rank": 24,
     "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12, "vocab_size": 100, "max_position_embeddings": 128}
    """

@Suite struct ShapeTests {
    /// Published: 405.85 B; 671.03 B without the extra block; 540.35 B.
    @Test(arguments: [("llama-3.1-405b", 405.85e9), ("deepseek-v3", 671.03e9), ("dense-540b", 540.35e9)])
    func parametersAreThePublishedOnes(name: String, count: Double) throws {
        let found = try shape(name).expectedTensors().reduce(0.0) { $0 + Double($1.shape.reduce(1, *)) }
        #expect(abs(found - count) < 5e-4 * count, "\(found)")
    }

    @Test func noTensorIsNamedTwice() throws {
        for name in ["deepseek-v3", "dense-540b", "llama-3.1-405b"] {
            let names = try shape(name).expectedTensors().map(\.name)
            #expect(Set(names).count == names.count)
        }
    }

    /// 3 blocks, one of them dense: 3 of attention, then gate+up and down; the others have a shared expert and eight of which a token sees two.
    @Test func expertsAreStagesOfTheirOwn() throws {
        let architecture = try Architecture(configuration: Data(small.utf8), source: "config.json")
        #expect(architecture.blocks.map(\.stages.count) == [6, 4 + 2 + 16, 4 + 2 + 16])
        let block = architecture.blocks[2]
        #expect(block.stages.map(\.columns) == [64, 24, 16, 48] + [64, 64] + Array(repeating: [64, 32], count: 8).flatMap { $0 })
        #expect(block.stages.map(\.tokenShare) == Array(repeating: 1, count: 6) + Array(repeating: 0.25, count: 16))
        #expect(block.stages[6].linears.map(\.name) == ["gate_proj", "up_proj"].map { "model.layers.2.mlp.experts.0.\($0)" })
    }

    @Test func arithmeticIsThatOfActiveParameters() throws {
        let block = try Architecture(configuration: Data(small.utf8), source: "config.json").blocks[2]
        let attention = 24 * 64 + (16 + 4) * 64 + 4 * 12 * 24 + 4 * (8 + 12) * 16 + 64 * 48
        let experts = 3 * 64 * (64 + 2 * 32)
        let (tokens, pairs) = (10.0, 10.0 * 10 / 2)
        let expected = 2 * tokens * Double(attention + experts) + pairs * 2 * 4 * (12 + 12)
        #expect(abs(block.stages.reduce(0) { $0 + $1.operations(lengths: [10]) } - expected) < 1e-9 * expected)
        // What a token meets, published as 37 B with embedding and head, is rounded.
        let large = try shape("deepseek-v3")
        let active = large.blocks.flatMap(\.stages).reduce(0.0) { sum, stage in
            stage.linears.reduce(sum) { $0 + Double($1.rows) * Double($1.columns) * stage.tokenShare }
        }
        #expect(abs(active + 2 * 129280 * 7168 - 37e9) < 0.5e9, "\(active)")
    }

    @Test(arguments: [
        ("\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9", "num_experts_per_tok"),
        ("\"n_routed_experts\": 8", "\"n_routed_experts\": 16000000", "n_routed_experts"),
        ("\"n_group\": 1", "\"n_group\": 3", "n_group"), ("\"topk_group\": 1", "\"topk_group\": 2", "topk_group"),
    ])
    func mistakesAreNamed(part: String, replacement: String, key: String) {
        let error = #expect(throws: ArchitectureError.self) {
            try Architecture(configuration: Data(small.replacing(part, with: replacement).utf8), source: "config.json")
        }
        #expect(error?.description.contains(key) == true)
    }
}
