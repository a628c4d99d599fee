// What experts cost, and how the time of a block falls to its rounds.

import Foundation
import Recipes
import Sharding
import Testing
import Transformers

@Suite struct ExpertCostsTests {
    /// A round lasts as long as its longest expert; ranks without one wait.
    @Test func aRoundTakesAsLongAsItsLongestExpert() {
        let shares = ExpertCosts.shares(of: [[0, 1], [2, 3], [nil, 4]], [6, 1, 2, 3, 1])
        #expect(shares == [0.6, 0.3, 0.1])
        #expect(ExpertCosts.shares(of: [[0, nil], [1, nil]], [0, 0]) == [0, 0])
    }

    /// However tokens fall to the experts, all of them together have the work that was foreseen.
    @Test func unevenTokensAreTheSameWork() throws {
        let json = """
            {"model_type": "qwen2_moe", "hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
             "vocab_size": 100, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu", "num_experts": 4, "num_experts_per_tok": 2,
             "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
            """
        let plan = try plan("compress: {bits: 4, group: 64}\n", Architecture(configuration: Data(json.utf8), source: "config.json"))
        let block = plan.blocks[0], mixture = try #require(block.block.mixture)
        let stages = (0..<4).map { block.stages[mixture.stages(of: $0).lowerBound] }
        let tokens = Double(plan.batches.reduce(0) { $0 + $1.count } * (plan.recipe.calibration?.length ?? 0)) * 2
        #expect(tokens > 0)
        let foreseen = stages.reduce(0) { $0 + plan.solvingWork(of: $1, tiles: Array($1.tiles.indices)) }
        let found = zip(stages, [0.7, 0.2, 0.1, 0]).reduce(0) { $0 + plan.solvingWork(of: $1.0, tiles: Array($1.0.tiles.indices), tokens: $1.1 * tokens) }
        #expect(abs(found / foreseen - 1) < 1e-12 && foreseen > 0)
        #expect(plan.solvingWork(of: stages[0], tiles: []) == 0)
    }
}
