// Plans: what is cut where, for real shapes without weights.

import Compression
import Foundation
import Recipes
import Sharding
import Testing
import Transformers

/// A Llama of any size, as config.json.
func llama(hidden: Int = 256, intermediate: Int = 704, blocks: Int = 2) throws -> Architecture {
    let json = """
        {"model_type": "llama", "hidden_size": \(hidden), "intermediate_size": \(intermediate), "num_hidden_layers": \(blocks), "num_attention_heads": 8,
         "num_key_value_heads": 4, "vocab_size": 1000, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu"}
        """
    return try Architecture(configuration: Data(json.utf8), source: "config.json")
}

func plan(_ more: String = "", _ architecture: Architecture? = nil) throws -> Plan {
    let recipe = try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: c, sequences: 37, length: 512}\n" + more, file: "r.yaml")
    return try Plan(recipe: recipe, architecture: architecture ?? llama()) { _ in .bf16 }
}

@Suite struct PlanTests {
    /// vLLM cuts rows into whole blocks of scales; what is stored dense has none.
    @Test func rowsThatAreNoBlocksAreNamed() throws {
        let blocks = "compress: {type: fp8, strategy: block}\n"
        #expect(try plan(blocks, llama(hidden: 1024, intermediate: 2816)).blockProblems.isEmpty)
        let narrow = try plan(blocks, llama(hidden: 384, intermediate: 1024)).blockProblems
        #expect(narrow.count == 1 && narrow[0].contains("model.layers.0.self_attn.k_proj and 3 more have 192 rows"), "\(narrow)")
        #expect(try plan("compress: {type: fp8}\n", llama(hidden: 384, intermediate: 1024)).blockProblems.isEmpty)
    }

    @Test(arguments: [(256, 704), (16, 24), (1024, 2816), (48, 1000), (16384, 53248)])
    func tilesCoverEveryRowOnce(hidden: Int, intermediate: Int) throws {
        let plan = try plan("", llama(hidden: hidden, intermediate: intermediate))
        #expect(plan.tileCount == plan.blocks.reduce(0) { $0 + $1.stages.reduce(0) { $0 + $1.tiles.count } })
        for stage in plan.blocks.flatMap(\.stages) {
            #expect(stage.tiles.map(\.linear) == stage.tiles.map(\.linear).sorted())
            for (index, linear) in stage.linears.enumerated() {
                let rows = stage.tiles.filter { $0.linear == index }.map(\.rows)
                #expect(rows.first?.lowerBound == 0 && rows.last?.upperBound == linear.linear.rows)
                #expect(zip(rows, rows.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
                #expect(rows.allSatisfy { $0.lowerBound % 32 == 0 && !$0.isEmpty && $0.count <= 256 })
            }
        }
    }

    @Test(arguments: ["", "{batch: 1}", "{batch: 5}", "{batch: 1000}", "{length: 4096}", "{length: 2, sequences: 5000}", "{sequences: 1}"])
    func batchesCoverEverySequenceOnce(settings: String) throws {
        var recipe = try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: c, sequences: 37, length: 512}", file: "r")
        let more = try Recipe(yaml: "model: a\noutput: b\ncalibration: \(settings.isEmpty ? "{source: c}" : "{source: c, " + settings.dropFirst())", file: "r")
        recipe.calibration = more.calibration
        let plan = try Plan(recipe: recipe, architecture: llama()) { _ in .f32 }
        let calibration = try #require(recipe.calibration)
        #expect(plan.batches.flatMap { Array($0) } == Array(0..<calibration.sequences))
        let size = try #require(plan.batches.first).count
        #expect(plan.batches.dropLast().allSatisfy { $0.count == size })
        if let batch = calibration.batch {
            #expect(size == min(batch, calibration.sequences))
        } else if plan.batches.count > 1 {
            #expect(size * calibration.length >= 2048)
        }
    }

    /// Every family's head answers to the common name, tied or not, and to that of its own.
    @Test(arguments: ["lm_head", "embed_out", "*_out"])
    func theHeadOfEveryFamilyAnswers(pattern: String) throws {
        let json = """
            {"model_type": "gpt_neox", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 100,
             "max_position_embeddings": 512}
            """
        let neox = try Architecture(configuration: Data(json.utf8), source: "config.json")
        #expect(try plan("ignore: ['\(pattern)']", neox).compressedLinears.count == 4)
        #expect(throws: PlanError.self) { try plan("ignore: [embed_in]", neox) }
        if pattern != "lm_head" { #expect(throws: PlanError.self) { try plan("ignore: ['\(pattern)']") } }
    }

    @Test func theFirstRuleThatMatchesWinsAndIgnoreWinsOverAll() throws {
        let plan = try plan("ignore: ['*.1.mlp.*', lm_head]\nrules: [{match: '*.down_proj', bits: 8}, {match: '*_proj', bits: 3}]")
        let treated = Dictionary(uniqueKeysWithValues: plan.blocks.flatMap { $0.stages.flatMap(\.linears) }.map { ($0.linear.name, $0.treatment?.bits) })
        #expect(treated["model.layers.0.mlp.down_proj"] == 8 && treated["model.layers.0.mlp.up_proj"] == 3 && treated["model.layers.1.self_attn.q_proj"] == 3)
        #expect(treated["model.layers.1.mlp.down_proj"] == .some(nil) && treated["model.layers.1.mlp.up_proj"] == .some(nil))
        #expect(plan.compressedLinears.count == 11)
        let stage = try #require(plan.blocks[1].stages.last)
        #expect(stage.tiles.isEmpty && !stage.needsHessian)
        #expect(plan.compressedLinears.allSatisfy { $0.options?.scaleType == .bf16 && $0.options?.bits == $0.treatment?.bits })
    }

    @Test(arguments: [
        ("rules: [{match: '*'}, {match: '*.down_proj'}]", "the rule `*.down_proj` (line 4 of the recipe) takes no linear"),
        ("rules: [{match: 'nothing'}]", "a linear is named like `model.layers.0.self_attn.q_proj`"), ("ignore: [nothing]", "`nothing` matches no linear"),
        ("ignore: ['.*gate$']", "a regular expression begins with `re:`"), ("rules: [{match: '^lm_head'}]", "a regular expression begins with `re:`"),
        ("compress: {method: sparsegpt, sparsity: 3:5}", "that 5 divides, but model.layers.0.self_attn.q_proj has 256"),
        ("rules: [{match: 're:([a-z_.0-9]+)+$!'}]", "key `rules.0.match` (line 4 of the recipe): `re:([a-z_.0-9]+)+$!` takes too long to compare with `model."),
        ("ignore: [lm_head, 're:([a-z_.0-9]+)+$!']", "key `ignore.1`: `re:([a-z_.0-9]+)+$!` takes too long to compare with `"),
        ("ignore: ['*']", "nothing to compress"), ("rules: [{match: lm_head}]", "takes no linear"),
    ])
    func recipesThatDoNotFit(yaml: String, part: String) {
        let error = #expect(throws: PlanError.self) { try plan(yaml) }
        #expect(error?.description.contains(part) == true, "\(error.map(\.description) ?? "")")
    }

    @Test(arguments: [("sparsegpt, sparsity: 5:16", "`sparsity: 5:16` needs"), ("exactobs, sparsity: 0.5, sparsity_block: 16", "`sparsity_block: 16` needs")])
    func patternsAndBlocksOfZerosFillTheColumns(compress: String, part: String) throws {
        let error = #expect(throws: PlanError.self) { try plan("compress: {method: \(compress)}", llama(intermediate: 696)) }
        let text = error.map(\.description) ?? ""
        #expect(text.contains(part + " a number of columns that 16 divides, but model.layers.0.mlp.down_proj has 696; give it a rule of its own"), "\(text)")
        #expect(try plan("compress: {method: \(compress)}").compressedLinears.count == 14)
    }

    @Test func linearsThatArePrunedHoldValuesOrCodes() throws {
        let linears = try plan("compress: {method: sparsegpt, sparsity: 0.5}\nrules: [{match: '*.down_proj', bits: 4}, {match: '*'}]").compressedLinears
        for linear in linears {
            let isQuantized = linear.linear.name.hasSuffix("down_proj")
            #expect(linear.options?.bits == (isQuantized ? 4 : nil) && (linear.content == .values(.bf16)) == !isQuantized)
            #expect(linear.pruning == PruningOptions(sparsity: .share(0.5), scope: .blocks(of: 128)))
        }
    }

    /// ADMM's second factor and its products are counted, in arithmetic, time and memory.
    @Test func admmTakesTwoFactors() throws {
        func costs(_ method: String) throws -> (plan: Plan, costs: Costs) {
            let plan = try plan("compress: {method: \(method), sparsity: 2:4}")
            return (plan, plan.costs(ranks: 3))
        }
        let (admm, sparsegpt) = (try costs("admm"), try costs("sparsegpt"))
        #expect(admm.costs.factorOperations == 2 * sparsegpt.costs.factorOperations && admm.costs.bytesSent > sparsegpt.costs.bytesSent)
        #expect(admm.costs.solveOperations == Double(ADMM.triangularActions) * sparsegpt.costs.solveOperations)
        #expect(try costs("wanda").costs.solveOperations == 0)
        let bytes = try [admm, sparsegpt].map { run in
            try run.plan.memoryPlan(ranks: 3, threads: 1, limit: .none).phases.first { $0.name == "solve" }?.bytes ?? 0
        }
        // The triangle of the widest stage once more.
        #expect(bytes[0] - bytes[1] >= 704 * 705 / 2 * 4)
    }

    /// The weights by which channels are measured, once by all ranks together: of all linears, or, rotated, of those behind values and gated products.
    @Test(arguments: ["equalize: true\n", "equalize: true\nrotate: hadamard\n"]) func measuringChannelsIsCounted(settings: String) throws {
        let (plan, plain) = (try plan(settings), try plan(settings.replacingOccurrences(of: "equalize: true\n", with: "")))
        let behindNorms = settings.contains("rotate") ? 0 : (256 + 128 + 128 + 704 + 704) * 256, others = 256 * 256 + 256 * 704
        #expect(plan.channelMeasurement?.weights == 2 * (behindNorms + others) && plain.channelMeasurement == nil)
        let bytes = Double(2 * 2 * (behindNorms + others))
        #expect(plan.costs(ranks: 4).bytesRead - plain.costs(ranks: 4).bytesRead == bytes / 4)
    }

    /// The arithmetic of rows in orders of their own, the inverse of the Hessian on every rank, and the whole factor under any limit.
    @Test(arguments: ["{method: obq}", "{method: exactobs, sparsity: 0.5}", "{method: exactobs, sparsity: 2:4}"])
    func eliminationsAreCounted(compress: String) throws {
        let (plan, plain) = (try plan("compress: \(compress)"), try plan())
        let (costs, other) = (plan.costs(ranks: 3), plain.costs(ranks: 3))
        let cubes: [Double] = [256, 256, 256, 704].map { $0 * $0 * $0 }, rows: [Double] = [512, 256, 1408, 256]
        let inverses: Double = 2 * 2 * cubes.reduce(0, +)
        let more: Double = costs.factorOperations - other.factorOperations
        #expect(abs(more - inverses) < 1e-6 * inverses)
        // Of all columns c^3 / 3 a row; half of them go in a sixth of c^3.
        let share: Double = compress.contains("obq") ? 1.0 / 3 : compress.contains("2:4") ? 1.0 / 6 : 1.0 / 2
        let whole: Double = zip(rows, cubes).reduce(0.0) { sum, linear in sum + 2 * share * linear.0 * linear.1 }
        #expect(costs.solveOperations >= whole / 3 && costs.solveOperations < whole / 1.5, "\(costs.solveOperations / whole)")
        #expect(abs(plan.costs(ranks: 1).solveOperations - whole) < 1e-6 * whole)
        let elimination = try #require(plan.elimination)
        #expect(plain.elimination == nil && elimination.columns == 704)
        #expect(abs(elimination.operations - whole) < 1e-6 * whole)
        let all = plan.costs(ranks: 1)
        let others = all.forwardOperations + all.hessianOperations + all.factorOperations
        #expect(abs(elimination.others - others) < 1e-6 * others)
        #expect(elimination.share > 0.5 && elimination.share < 1)
        func solve(_ plan: Plan) throws -> Int { try plan.memoryPlan(ranks: 3, threads: 2, limit: .none).phases.first { $0.name == "solve" }?.bytes ?? 0 }
        #expect(try solve(plan) - solve(plain) >= 704 * 704 * 8)
        let least = try plan.memoryPlan(ranks: 3, threads: 1, limit: .none).bound
        let limited = (1...20).lazy.compactMap { try? plan.memoryPlan(ranks: 3, threads: 1, limit: .rank(least * (21 - $0) / 21)) }
        #expect(limited.allSatisfy { $0.stages.allSatisfy { $0.allSatisfy(\.completeFactor) } })
    }

    @Test func aRecipeOfRoundingNeedsNoHessians() throws {
        #expect(try plan("compress: {method: rtn}").blocks.allSatisfy { $0.stages.allSatisfy { !$0.needsHessian } })
        #expect(try plan().blocks.allSatisfy { $0.stages.allSatisfy { $0.needsHessian } })
    }

    /// Of each linear the first tile and every fourth after it, so that no linear goes unmeasured.
    @Test func everyLinearIsSampled() throws {
        for stage in try plan("", llama(hidden: 1024, intermediate: 2816)).blocks.flatMap(\.stages) {
            for linear in stage.linears.indices {
                let tiles = stage.tiles.indices.filter { stage.tiles[$0].linear == linear }
                #expect(tiles.map(stage.isSampled) == tiles.indices.map { $0 % 4 == 0 })
            }
        }
    }
}
