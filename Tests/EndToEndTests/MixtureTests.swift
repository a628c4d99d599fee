// Mixtures of experts: the promises hold where each rank works on experts of its own.

import Foundation
import Testing

@Suite(.serialized) struct MixtureTests {
    /// What report.json says.
    private struct Report: Decodable {
        struct Mixture: Decodable {
            var experts: Int
            var leastTokens: Int
            var mostTokens: Int
            var minimumTokens: Int
            var starvedExperts: Int
            var borrowedTokens: Int
            var balance: Double?
        }
        struct Memory: Decodable { var boundBytes: Int }
        struct Rank: Decodable { var peakMemoryBytes: Int }
        struct Linear: Decodable {
            var name: String
            var fallback: String?
            var tokens: Int?
        }
        var mixtures: [Mixture]
        var memory: Memory
        var ranks: [Rank]
        var linears: [Linear]
        var peak: Int { ranks.map(\.peakMemoryBytes).max() ?? 0 }
    }

    private static let experts = 6
    private static let denseTarget = ["--set", "compress.target=dense"]

    private func model(columns: Int = 192, blocks: Int = 2) throws -> WideModel {
        try WideModel(columns: columns, blocks: blocks, family: "qwen2_moe", experts: Self.experts)
    }

    private func compress(_ model: WideModel, _ name: String, _ flags: [String] = [], ranks: Int?, threads: Int = 1) throws -> Report {
        let output = model.output(name)
        let run = try CleaveProcess.run(["compress", model.recipe, "--output", output] + flags, ranks: ranks, threads: threads)
        try #require(run.exitCode == 0, "\(name), \(flags) on \(ranks ?? 1) ranks: \(run.errors)")
        return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json")))
    }

    /// Kills a rank of each of some runs, and lets other ranks finish what it began: the bytes are those of an undisturbed run.
    ///
    /// - Parameters:
    ///   - flags: of all of them.
    ///   - kills: runs of which a rank is killed. Of the tiles, equal shares more are committed from run to run, and all but two shares in the last.
    ///   - resuming: the number of ranks that finish a run.
    private func interrupt(_ model: WideModel, _ name: String, _ flags: [String] = [], kills: Int, ranks: Int, resuming: (Int) -> Int) throws {
        let (reference, tiles) = (try SmallRun.files(model.output(name)), try SmallRun.tiles(model.output(name)).solved)
        var interrupted = 0
        for attempt in 0..<kills {
            let output = model.output("\(attempt)")
            let run = try CleaveProcess(["compress", model.recipe, "--output", output] + flags, ranks: ranks)
            try SmallRun.wait(for: run, toCommit: max(1, tiles * attempt / (kills + 1)), in: output)
            // Between two commits.
            Thread.sleep(forTimeInterval: 0.01 * Double(attempt % 4))
            let victims = run.ranks
            if !victims.isEmpty { kill(victims[attempt % victims.count], SIGKILL) }
            if try run.wait().exitCode != 0 { interrupted += 1 }
            let resumed = try CleaveProcess.run(["compress", model.recipe, "--output", output] + flags, ranks: resuming(attempt))
            #expect(resumed.exitCode == 0, "attempt \(attempt): \(resumed.errors)")
            try SmallRun.expectEqual(output, reference, "attempt \(attempt)")
        }
        #expect(interrupted > kills / 2, "\(interrupted) of \(kills) runs were interrupted")
    }

    /// Scores are sums over tokens of all ranks; a command that was killed leaves nothing that the next one minds.
    @Test func expertsAreTakenOutAlikeOnAnyRanks() throws {
        let model = try model()
        let arguments = { (output: String) in
            ["prune-experts", model.path, "--keep", "0.5", "--data", model.idsFile, "--sequences", "6", "--length", "128", "--output", output]
        }
        let reference = try CleaveProcess.run(arguments(model.output("reference")), ranks: 1)
        try #require(reference.exitCode == 0 && reference.output.contains("kept 3 of 6 experts in each of 2 blocks"), "\(reference.output) \(reference.errors)")
        let files = try SmallRun.files(model.output("reference"))
        for ranks in [2, 3] {
            let output = model.output("\(ranks)")
            let killed = try CleaveProcess(arguments(output), ranks: ranks)
            Thread.sleep(forTimeInterval: 0.3)
            killed.ranks.last.map { _ = kill($0, SIGKILL) }
            if try killed.wait().exitCode != 0 {
                let run = try CleaveProcess.run(arguments(output), ranks: ranks, threads: ranks == 2 ? 2 : 1)
                try #require(run.exitCode == 0, "\(run.errors)")
            }
            try SmallRun.expectEqual(output, files, "\(ranks) ranks")
        }
        let again = try CleaveProcess.run(arguments(model.output("reference")), ranks: nil)
        #expect(again.exitCode == 73 && again.errors.contains("give another output directory"), "\(again.errors)")
    }

    /// Experts that are solved by whichever rank, with tokens from all: the bytes are those of one rank.
    @Test(arguments: [
        [], ["compute=f32", "propagation=block"], ["experts={starved: rtn, minimum_tokens: 300}", "max_fallbacks=100"],
        ["compress={method: sparsegpt, sparsity: 0.5}", "format=dense", "experts={calibrate: all}"],
        ["compress={method: admm, sparsity: 0.5}", "format=dense"],
        ["compress={method: exactobs, sparsity: 0.5}", "rules=[{match: '*.down_proj', method: obq, bits: 4, group: -1}, {match: '*'}]", "format=dense"],
        ["propagation=none", "ignore=['*.self_attn.*', '*.shared_expert.*']"], ["compress={method: spqr}", "format=dense"],
        ["compress.target=dense", "compress.stream_strength=0.5"],
        ["compress.target=dense", "experts={starved: rtn, minimum_tokens: 300}", "max_fallbacks=100"],
        // Of either stage alone, and of none.
        ["rules=[{match: '*.experts.*.down_proj', target: dense}, {match: '*'}]", "compute=f32", "experts={calibrate: all}"],
        ["rules=[{match: '*.experts.*.gate_proj', target: dense, target_strength: 0.5}, {match: '*'}]"],
        ["compress.target=dense", "rules=[{match: '*.experts.*', target: layer}, {match: '*'}]"],
    ])
    func anyNumberOfRanks(settings: [String]) throws {
        let model = try model()
        let flags = settings.flatMap { ["--set", $0] }
        _ = try compress(model, "reference", flags, ranks: 1)
        let reference = try SmallRun.files(model.output("reference"))
        func expectSame(_ more: [String] = [], ranks: Int, threads: Int = 1) throws {
            _ = try compress(model, "other", flags + more, ranks: ranks, threads: threads)
            try SmallRun.expectEqual(model.output("other"), reference, "\(settings), \(more) on \(ranks) ranks")
            try FileManager.default.removeItem(atPath: model.output("other"))
        }
        // Fewer ranks than experts, as many, and more; 6 batches.
        for ranks in [2, 3, 6, 8] { try expectSame(ranks: ranks) }
        try expectSame(["--tensor-parallel", "2"], ranks: 4)
        try expectSame(["--activations", "scratch"], ranks: 2, threads: 3)
        try expectSame(["--weights", "broadcast"], ranks: 3)
    }

    /// Latent attention, whose stages read parts of values, and a router that takes experts from some groups: on any ranks, and after kills.
    @Test(arguments: [[], denseTarget])
    func latentAttentionGivesTheSameBytes(target: [String]) throws {
        let model = try WideModel(columns: 64, blocks: 3, family: "deepseek_v3", experts: 8)
        _ = try compress(model, "reference", target, ranks: 1)
        let reference = try SmallRun.files(model.output("reference"))
        for (ranks, flags) in [(2, []), (3, []), (4, []), (4, ["--tensor-parallel", "2"]), (2, ["--activations", "scratch"])] {
            _ = try compress(model, "other", target + flags, ranks: ranks)
            try SmallRun.expectEqual(model.output("other"), reference, "\(target), \(flags) on \(ranks) ranks")
            try FileManager.default.removeItem(atPath: model.output("other"))
        }
        try interrupt(model, "reference", target, kills: 4, ranks: 2) { _ in 3 }
    }

    /// Where an expert's tokens are not kept, they come again for each use, down to a step at a time.
    @Test(arguments: [[], denseTarget])
    func aLimitChangesMemoryAlone(target: [String]) throws {
        let model = try model(columns: 1024, blocks: 1)
        // Enough tokens for more than one step of an expert.
        let calibration = "calibration={source: \(model.output("ids.npy")), sequences: 30, length: 256, batch: 2}"
        let many = target + ["--set", calibration, "--set", "experts={calibrate: all}"]
        try model.writeIDs(30 * 256)
        let free = try compress(model, "free", many, ranks: 1)
        #expect(free.peak <= free.memory.boundBytes)
        let reference = try SmallRun.files(model.output("free"))
        for ranks in [1, 2, 3] {
            let limit = try model.sufficientLimit(many, ranks: ranks)
            let held = try compress(model, "held", many + ["--memory-per-rank", "\(limit)"], ranks: ranks)
            try SmallRun.expectEqual(model.output("held"), reference, "\(ranks) ranks in \(limit) bytes")
            #expect(held.peak <= held.memory.boundBytes && held.memory.boundBytes < free.memory.boundBytes, "\(ranks) ranks: \(held.peak)")
            try FileManager.default.removeItem(atPath: model.output("held"))
        }
    }

    /// A kill while tokens travel, sums grow, tiles are solved or parts committed: the rest is solved on another number of ranks.
    @Test(arguments: [[], denseTarget])
    func aRankIsKilledAtAnyMoment(target: [String]) throws {
        let model = try model(blocks: 3)
        _ = try compress(model, "whole", target, ranks: 3)
        try interrupt(model, "whole", target, kills: 8, ranks: 3) { 1 + $0 % 4 }
    }

    /// Experts whose tiles are lost are solved again, the others read; whether tokens must pass those or not.
    @Test(arguments: [0, 1], [[], denseTarget])
    func lostTilesAreSolvedAlone(block: Int, target: [String]) throws {
        let model = try model()
        _ = try compress(model, "whole", target, ranks: 2)
        let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("parts"), "--no-merge"] + target, ranks: 2)
        try #require(run.exitCode == 0, "\(run.errors)")
        let partial = model.output("parts") + "/cleave/partial"
        let names = try FileManager.default.contentsOfDirectory(atPath: partial).filter { $0.hasPrefix("block-\(block).part-1.") }
        try #require(names.count == 2)
        try FileManager.default.removeItem(atPath: partial + "/" + names[0])
        _ = try compress(model, "parts", target, ranks: 3)
        try SmallRun.expectEqual(model.output("parts"), try SmallRun.files(model.output("whole")), "resumed")
        let tiles = try SmallRun.tiles(model.output("parts"))
        #expect(tiles.solved > 0 && tiles.reused > tiles.solved)
    }

    @Test func starvedExpertsAreNamed() throws {
        let model = try model()
        let all = 6 * 128
        let blended = try compress(model, "blended", ["--set", "experts.minimum_tokens=\(all)"], ranks: 2)
        #expect(blended.mixtures.count == 2)
        for mixture in blended.mixtures {
            #expect(mixture.experts == Self.experts && mixture.minimumTokens == all && mixture.leastTokens <= mixture.mostTokens && mixture.mostTokens <= all)
            #expect(mixture.starvedExperts > 0 && mixture.borrowedTokens > 0 && (mixture.balance ?? 0) >= 1)
        }
        // Every expert has seen the whole layer.
        #expect(blended.linears.filter { $0.name.contains(".experts.") }.allSatisfy { $0.tokens == all })
        let refused = try CleaveProcess.run(
            ["compress", model.recipe, "--output", model.output("refused"), "--set", "experts={starved: error, minimum_tokens: \(all)}"], ranks: 2)
        #expect(refused.exitCode == 65 && refused.errors.contains("experts of model.layers.0 got fewer tokens than"), "\(refused.errors)")
        let rounded = try compress(
            model, "rounded", ["--set", "experts={starved: rtn, minimum_tokens: \(all)}", "--set", "max_fallbacks=1000"], ranks: 3)
        #expect(rounded.linears.contains { $0.fallback?.contains("the router sent it") == true })
        let limited = try CleaveProcess.run(
            ["compress", model.recipe, "--output", model.output("limited"), "--set", "experts={starved: rtn, minimum_tokens: \(all)}"], ranks: 3)
        #expect(limited.exitCode == 65 && limited.errors.contains("max_fallbacks"), "\(limited.errors)")
    }

    /// What decides an expert's Hessian is part of the plan: tiles of two settings are never mixed.
    @Test func otherSettingsOfExpertsAreAnotherPlan() throws {
        let model = try model(blocks: 1)
        _ = try compress(model, "parts", ["--no-merge"], ranks: 2)
        for (setting, difference) in [
            ("calibrate: all", "experts: calibrate: was routed, is all"), ("starved: rtn", "experts: starved: was blend, is rtn"),
            ("minimum_tokens: 7", "experts: minimum_tokens: was columns, is 7"),
        ] {
            let refused = try CleaveProcess.run(
                ["compress", model.recipe, "--output", model.output("parts"), "--no-merge", "--set", "experts={\(setting)}"], ranks: 2)
            #expect(refused.exitCode == 65 && refused.errors.contains(difference), "\(refused.errors)")
        }
    }

    @Test func expertsOfABlockHaveOneScheme() throws {
        let model = try model(blocks: 1)
        let rules = ["--set", "rules=[{match: '*.experts.*.down_proj', bits: 8}, {match: '*'}]"]
        let refused = try CleaveProcess.run(["plan", model.recipe, "--output", model.output("refused")] + rules)
        #expect(refused.exitCode == 65 && refused.errors.contains("vLLM and transformers take all experts of a block for alike"), "\(refused.errors)")
        _ = try compress(model, "dense", rules + ["--set", "format=dense"], ranks: 2)
    }

    /// What vLLM would not load, and transformers does, is no error: plan and run say so.
    @Test(arguments: [
        (
            "deepseek_v3", ["rules=[{match: '*.q_a_proj', bits: 8}, {match: '*'}]"],
            "q_a_proj 8 bits g64 symmetric, kv_a_proj_with_mqa 4 bits g64 symmetric in model.layers.0.self_attn and 1 more"
        ),
        (
            "qwen2_moe", ["ignore=['*.self_attn.k_proj']"],
            "q_proj 4 bits g64 symmetric, k_proj plain, v_proj 4 bits g64 symmetric in model.layers.0.self_attn and 1 more"
        ),
        (
            "qwen2_moe", ["rules=[{match: '*.0.mlp.shared_expert.up_proj', group: 32}, {match: '*'}]"],
            "gate_proj 4 bits g64 symmetric, up_proj 4 bits g32 symmetric in model.layers.0.mlp.shared_expert"
        ),
        ("deepseek_v3", [], nil), ("qwen2_moe", ["rules=[{match: '*.self_attn.*', bits: 8}, {match: '*'}]"], nil),
        ("qwen2_moe", ["ignore=['*.self_attn.k_proj']", "format=dense"], nil),
    ])
    func linearsOfWhichVLLMMakesOneAreNamed(family: String, settings: [String], note: String?) throws {
        let model = try WideModel(columns: 64, blocks: 2, family: family, experts: Self.experts)
        for verb in ["plan", "compress"] {
            let run = try CleaveProcess.run([verb, model.recipe, "--output", model.output("out")] + settings.flatMap { ["--set", $0] })
            #expect(run.exitCode == 0, "\(run.errors)")
            let said = run.errors + run.output
            #expect(said.contains("vLLM makes one linear of these") == (note != nil) && note.map(said.contains) != false, "\(verb): \(said)")
        }
    }

    @Test func evaluationIsTheSameOnAnyRanks() throws {
        let model = try model()
        func perplexity(ranks: Int?) throws -> String {
            let run = try CleaveProcess.run(["eval", model.path, "--data", model.output("ids.npy"), "--length", "128", "--json"], ranks: ranks)
            try #require(run.exitCode == 0, "\(run.errors)")
            return run.output
        }
        let alone = try perplexity(ranks: nil)
        for ranks in [2, 3, 5, 8] { #expect(try perplexity(ranks: ranks) == alone, "\(ranks) ranks") }
    }

    /// A rank whose disk fails while tokens travel: one message, and no rank waits for it.
    @Test(arguments: [4, 9, 20], [[], denseTarget])
    func aRankThatFailsEndsTheRun(write: Int, target: [String]) throws {
        let (model, directory) = (try model(), try TemporaryDirectory())
        let fault = Fault(call: .write, path: "cleave-scratch", number: write, action: .error(EIO), rank: 1)
        let run = try CleaveProcess.run(
            ["compress", model.recipe, "--output", model.output("out"), "--activations", "scratch"] + target, ranks: 3,
            environment: fault.environment(try Fault.buildLibrary(in: directory)))
        #expect(run.exitCode == 73, "\(run.exitCode) \(run.errors)")
        #expect(run.errors.components(separatedBy: "write a scratch file").count == 2 && run.errors.contains("rank 1 on "), "\(run.errors)")
    }
}
