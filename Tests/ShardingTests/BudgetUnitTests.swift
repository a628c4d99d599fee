// What gets its width together, and how its probes fall to ranks.

import Compression
import Foundation
import Recipes
import Sharding
import Testing
import Transformers

private let budget = "compress: {bits: {average: 3.25, choices: [2, 3, 4]}, group: 64}\n"

/// A Qwen2-MoE with shared experts, as config.json.
private func mixture() throws -> Architecture {
    let json = """
        {"model_type": "qwen2_moe", "hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
         "vocab_size": 100, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu", "num_experts": 6, "num_experts_per_tok": 2,
         "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
        """
    return try Architecture(configuration: Data(json.utf8), source: "config.json")
}

@Suite struct BudgetUnitTests {
    @Test func aStageIsAUnit() throws {
        let plan = try plan(budget)
        #expect(Array(plan.units.map(\.name).prefix(4)) == ["qkv", "attention output", "gate+up", "down"].map { "model.layers.0, \($0)" })
        #expect(plan.units.count == 8)
        #expect(plan.linears(of: plan.units[0]).map(\.linear.name).map { $0.suffix(6) } == ["q_proj", "k_proj", "v_proj"])
        #expect(plan.choices(of: plan.units[0]).map(\.bits) == [2, 3, 4])
        // 3 bits until it is decided.
        #expect(plan.compressedLinears.allSatisfy { $0.treatment?.bits == 3 })
        // q: 256 x 256, k and v: 128 x 256; a scale of 16 bits for each 64 columns.
        #expect(plan.sizes(of: plan.units[0]) == [2, 3, 4].map { 512 * (256 * $0 + 4 * 16) })
    }

    /// Of a budget of zeros: the weights that are kept.
    @Test func sharesAreCountedInWeights() throws {
        let plan = try plan("compress: {method: sparsegpt, sparsity: {average: 0.5, choices: [0.25, 0.5, 0.75]}}\n")
        // The weight at the threshold is pruned too, of two blocks of columns in each of three linears.
        #expect(plan.sizes(of: plan.units[0]) == [1, 2, 3].map { 512 * 256 / 4 * $0 - 6 })
        #expect(plan.choosing { _ in 2 }.compressedLinears.allSatisfy { $0.treatment?.sparsity == .share(0.25) && $0.options == nil })
    }

    @Test func theExpertsOfABlockAreOneUnit() throws {
        let plan = try plan(budget, mixture())
        let experts = plan.units.filter { $0.name.hasSuffix("experts") }
        #expect(experts.count == 2 && experts[0].stages.count == 12)
        #expect(plan.linears(of: experts[0]).count == 18)
    }

    @Test func aChoiceIsThatOfAllLinearsOfAUnit() throws {
        let undecided = try plan(budget)
        let decided = undecided.choosing { $0.name.hasSuffix("down") ? 2 : 0 }
        #expect(decided.units.isEmpty)
        #expect(
            decided.compressedLinears.allSatisfy {
                $0.treatment?.bits == ($0.linear.name.hasSuffix("down_proj") ? 4 : 2) && $0.options?.bits == $0.treatment?.bits
            })
        // Tiles follow from shapes alone, so that tables hold whatever is chosen.
        #expect(zip(decided.blocks, undecided.blocks).allSatisfy { $0.stages.map(\.tiles) == $1.stages.map(\.tiles) })
    }

    @Test func rulesWithBitsOfTheirOwnAreLeftOut() throws {
        let plan = try plan(budget + "rules: [{match: '*.down_proj', bits: 8}, {match: '*'}]\n")
        #expect(plan.units.count == 6)
        #expect(plan.choosing { _ in 0 }.compressedLinears.filter { $0.treatment?.bits == 8 }.count == 2)
    }

    @Test func linearsOfAUnitNeedOneListOfChoices() throws {
        #expect(throws: PlanError.self) { try plan(budget + "rules: [{match: '*.q_proj', group: 32}, {match: '*'}]\n") }
        #expect(throws: PlanError.self) { try plan(budget + "rules: [{match: '*', bits: 8}, {match: '*'}]\n") }
    }

    @Test func aBudgetIsCountedInMemory() throws {
        let few = try plan("compress: {bits: 2, group: 64}\n").memoryPlan(ranks: 2, threads: 1, limit: .none)
        let undecided = try plan(budget).memoryPlan(ranks: 2, threads: 1, limit: .none)
        #expect(undecided.phases.contains { $0.name == "probe" && $0.bytes > 0 })
        #expect(try #require(undecided.phases.first { $0.name == "solve" }).bytes > (try #require(few.phases.first { $0.name == "solve" })).bytes)
        #expect(undecided.probesAtOnce == 8)
    }

    @Test(arguments: [1, 2, 3, 5, 8, 40, 100], [true, false])
    func everyWindowPassesOnceForEachUnit(ranks: Int, shares: Bool) {
        let probes = Probes(units: 7, windows: 5, ranks: ranks, sharesWindows: shares)
        let passes = (0..<ranks).flatMap { probes.shares(of: $0).flatMap { share in share.units.map { share.window * 7 + $0 } } }
        #expect(passes == Array(0..<35))
        #expect(shares || (0..<ranks).allSatisfy { probes.shares(of: $0).allSatisfy { $0.units == 0..<7 } })
        if shares, ranks >= 35 { #expect(probes.mostStates == 2) }
    }
}
