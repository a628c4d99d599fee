// Which attention of a model gets scales for its keys and values, and which models have none.

import Foundation
import Recipes
import Sharding
import Testing
import Transformers

@Suite struct CacheTests {
    /// A plan with scales for a model of a type, with settings that not all types have.
    private func plan(_ type: String, _ settings: String = "", recipe: String = "") throws -> Plan {
        let configuration = """
            {"model_type": "\(type)", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 100,
             "max_position_embeddings": 128\(settings.isEmpty ? "" : ", " + settings)}
            """
        return try ShardingTests.plan("kv_cache: fp8\n" + recipe, Architecture(configuration: Data(configuration.utf8), source: "config.json"))
    }

    @Test func everyAttentionOfTheModel() throws {
        let plan = try ShardingTests.plan("kv_cache: fp8\nignore: ['*.self_attn.*']\n", llama(blocks: 3))
        #expect(plan.cachedAttention.map(\.module) == (0..<3).map { "model.layers.\($0).self_attn" })
        #expect(plan.cachedAttention.allSatisfy { $0.stage == 0 && $0.heads == 4 })
        #expect(try ShardingTests.plan("", llama()).cachedAttention.isEmpty)
    }

    /// Blocks of linear attention keep no keys.
    @Test func blocksWithoutKeysAreLeftOut() throws {
        let plan = try plan(
            "qwen3_next",
            """
            "num_key_value_heads": 2, "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
            "linear_value_head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32
            """)
        #expect(plan.cachedAttention.map(\.module) == ["model.layers.3.self_attn"])
    }

    @Test(arguments: [
        ("gpt_neox", "", "", ["modules called `self_attn`", "gpt_neox.layers.0.attention"]),
        (
            "deepseek_v3",
            """
            "num_key_value_heads": 4, "first_k_dense_replace": 4, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16,
            "v_head_dim": 16, "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1
            """, "", ["a latent vector in place of keys and values", "model.layers.0.self_attn.kv_b_proj"]
        ),
        ("llama", "", "compress: {method: wanda, sparsity: 0.5}", ["no linear is quantized"]),
    ])
    func modelsWithoutScales(type: String, settings: String, recipe: String, words: [String]) {
        let error = #expect(throws: PlanError.self) { try plan(type, settings, recipe: recipe) }
        for word in words + ["`kv_cache` is not there for this model"] { #expect(error?.description.contains(word) == true, "\(error?.description ?? "")") }
    }
}
