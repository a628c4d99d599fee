// What differs from the dense model, stage by stage: which linears it shifts, what that costs, and what of it a rank holds.

import Foundation
import Sharding
import Testing
import Transformers

@Suite struct MismatchTests {
    private static let both = "compress: {target: dense, target_strength: 0.5, stream_strength: 0.8}\n"

    private func architecture(_ type: String, _ more: String = "") throws -> Architecture {
        let json = """
            {"model_type": "\(type)", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
             "max_position_embeddings": 128, "rms_norm_eps": 1e-5\(more)}
            """
        return try Architecture(configuration: Data(json.utf8), source: "config.json")
    }

    /// The stages of the first block by name, with what shifts their linears.
    private func mismatches(_ plan: Plan) -> [String: [Mismatch]] {
        Dictionary(uniqueKeysWithValues: plan.blocks[0].stages.map { ($0.stage.name, $0.mismatches) })
    }

    @Test func theStreamShiftsWhatIsAddedToItAtOnce() throws {
        let both = try plan(Self.both)
        #expect(mismatches(both) == ["qkv": [.input], "attention output": [.input, .stream], "gate+up": [.input], "down": [.input, .stream]])
        let down = try #require(both.blocks[0].stages.last)
        #expect(down.strength(.input, ofLinear: 0) == 0.5 && down.strength(.stream, ofLinear: 0) == 0.8)
        #expect(Mismatch.input.columns(of: down.stage) == 704 && Mismatch.stream.columns(of: down.stage) == 256)
        // Strengths of 0 ask for nothing, and a rule has its own.
        #expect(try mismatches(plan("compress: {target: dense}\n"))["down"] == [.input])
        let rules = "rules: [{match: '*.o_proj', stream_strength: 0}, {match: '*.down_proj', target_strength: 0}, {match: '*', target: layer}]\n"
        #expect(try mismatches(plan(Self.both + rules)) == ["qkv": [], "attention output": [.input], "gate+up": [], "down": [.stream]])
        #expect(try !plan("compress: {target: dense, target_strength: 0}\n").needsDenseInputs)
    }

    /// Granite multiplies outputs before it adds them: a shift of the stream takes so much more of the weights.
    @Test func scalesOfOutputsAreUndone() throws {
        let scaled = try architecture(
            "granite",
            """
            , "num_key_value_heads": 2, "embedding_multiplier": 1.0, "attention_multiplier": 0.25, "residual_multiplier": 0.25, "logits_scaling": 1.0
            """)
        let down = try #require(plan(Self.both, scaled).blocks[0].stages.last)
        #expect(down.strength(.stream, ofLinear: 0) == 3.2 && down.strength(.input, ofLinear: 0) == 0.5)
    }

    /// Outputs that join the stream at the block's end, or normalised, are not what the stream lacks.
    @Test(arguments: ["gpt_neox", "gemma2"])
    func otherFamiliesAreRefused(type: String) throws {
        let more = type == "gemma2" ? ", \"num_key_value_heads\": 2, \"head_dim\": 16" : ""
        let architecture = try architecture(type, more)
        #expect(throws: PlanError.self) { try plan(Self.both, architecture) }
        do {
            _ = try plan(Self.both, architecture)
        } catch {
            #expect("\(error)".hasPrefix("`stream_strength` acts on linears whose outputs are added to the residual stream at once"), "\(error)")
        }
        #expect(try plan("compress: {target: dense}\n", architecture).needsDenseInputs)
    }

    @Test func rulesForOtherLinearsAloneAreRefused() throws {
        let rules = "compress: {target: dense}\nrules: [{match: '*.q_proj', stream_strength: 1}, {match: '*'}]\n"
        do {
            _ = try plan(rules)
            Issue.record("no error")
        } catch {
            #expect("\(error)".contains("none that it is given for is one (such as model.layers.0.self_attn.q_proj)"), "\(error)")
        }
    }

    /// Each sum, map and shift by its shape.
    @Test func costs() throws {
        let (hidden, inner, blocks) = (256.0, 704.0, 2.0)
        func costs(_ settings: String) throws -> Costs { try plan(settings).costs(ranks: 1) }
        let (none, input, both) = (try costs(""), try costs("compress: {target: dense}\n"), try costs(Self.both))
        let tokens = 37.0 * 512
        func expect(_ found: Double, _ expected: Double) { #expect(abs(found - expected) <= 1e-9 * expected, "\(found) for \(expected)") }
        // Of attention's output and of down: 256 rows of each map.
        expect(both.hessianOperations - input.hessianOperations, blocks * 2 * tokens * hidden * (hidden + inner))
        expect(both.factorOperations - input.factorOperations, blocks * 2 * hidden * (hidden * hidden + inner * inner))
        expect(both.solveOperations - input.solveOperations, blocks * 2 * hidden * (hidden + inner))
        expect(input.hessianOperations - none.hessianOperations, blocks * 2 * tokens * (3 * hidden * hidden + inner * inner))
        // The stream needs no forward pass of its own.
        #expect(both.forwardOperations == input.forwardOperations && input.forwardOperations == 2 * none.forwardOperations)
        let sent = try ["compress: {target: dense}\n", Self.both].map { try plan($0).costs(ranks: 2, ranksOfHost: 1).bytesBetweenHosts }
        // Sums to their owner, their squares, maps to all.
        expect(sent[1] - sent[0], blocks * ((8 + 4) * hidden * (hidden + inner) + 2 * 2 * 8 * hidden))
    }

    /// An expert's owner sums and solves alone: no sum is sent, but inputs of the dense model are. The stream is reached at the block's end.
    @Test func expertsAreTheirOwnersAlone() throws {
        let mixture = try architecture("mixtral", ", \"num_key_value_heads\": 2, \"num_local_experts\": 4, \"num_experts_per_tok\": 2")
        let all = try plan(Self.both, mixture), others = try plan(Self.both + "rules: [{match: '*.experts.*', target: layer}, {match: '*'}]\n", mixture)
        #expect(mismatches(all)["expert 0 gate+up"] == [.input] && mismatches(all)["expert 3 down"] == [.input])
        #expect(mismatches(others)["expert 0 gate+up"] == [] && mismatches(others)["attention output"] == [.input, .stream])
        func expect(_ found: Double, _ expected: Double) { #expect(abs(found - expected) <= 1e-9 * expected, "\(found) for \(expected)") }
        let (more, less) = (all.costs(ranks: 1), others.costs(ranks: 1))
        // Of two blocks with four experts, each with half of the tokens; one rank of four experts is taken to have a quarter more.
        let (experts, tokens, hidden, inner) = (8.0, 37.0 * 512 / 2, 64.0, 96.0)
        expect(more.hessianOperations - less.hessianOperations, experts * 1.25 * tokens * 2 * (hidden * hidden + inner * inner))
        expect(more.factorOperations - less.factorOperations, experts * 2 * (hidden * hidden * hidden + inner * inner * inner))
        expect(more.solveOperations - less.solveOperations, experts * 2 * (2 * inner * hidden * hidden + hidden * inner * inner))
        // The dense gate and up, on the tokens whose products down is to see.
        expect(more.forwardOperations - less.forwardOperations, experts * 1.25 * tokens * 2 * 2 * inner * hidden)
        let sent = [all, others].map { $0.costs(ranks: 2, ranksOfHost: 1).bytesBetweenHosts }
        expect(sent[0] - sent[1], experts * tokens * hidden * 2 / 2)
        let bounds = try [all, others].map { try $0.memoryPlan(ranks: 2, threads: 1, base: 0, limit: .none).bound }
        #expect(bounds[0] > bounds[1])
    }

    /// Where a limit leaves no room for a whole sum, panels of both mismatches are summed some at a time.
    @Test func aLimitSumsPanelsInTurn() throws {
        let settings = Self.both + "rules: [{match: '*.down_proj'}]\n", base = 50 << 20
        let wide = try plan(settings, llama(hidden: 2048, intermediate: 2048, blocks: 1))
        let whole = try wide.memoryPlan(ranks: 1, threads: 1, base: base, limit: .none)
        func bytes(_ memory: MemoryPlan) throws -> Int { try #require(memory.phases.first { $0.name == "mismatch" }).bytes }
        let input = try plan(
            "compress: {target: dense}\nrules: [{match: '*.down_proj'}]\n", llama(hidden: 2048, intermediate: 2048, blocks: 1)
        ).memoryPlan(ranks: 1, threads: 1, base: base, limit: .none)
        // The map of inputs, 2048 columns by 2048 in fp32, stays while the stream's is summed.
        #expect(try bytes(whole) - bytes(input) == 4 * 2048 * 2048)
        let held = try wide.memoryPlan(ranks: 1, threads: 1, base: base, limit: .rank(bytes(whole) - (20 << 20)))
        let panels = try #require(held.stages[0][3].mismatchPanels)
        #expect(try panels < 8 && bytes(held) <= bytes(whole) - (20 << 20))
        // As long as it takes: one more visit of the batches for each part.
        #expect(whole.stages[0][3].mismatchPanels == nil)
    }
}
