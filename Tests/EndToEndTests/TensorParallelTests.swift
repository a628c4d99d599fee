// Promises 1 and 2 where ranks share the forward pass of a stage: the same bytes, and no rank holds a whole stage.

import Foundation
import Testing

@Suite(.serialized) struct TensorParallelTests {
    /// What report.json says of memory.
    private struct Report: Decodable {
        struct Memory: Decodable {
            var boundBytes: Int
            var tensorParallel: Int?
        }
        struct Rank: Decodable {
            var peakMemoryBytes: Int
            var operations: [String: Double]
        }
        var memory: Memory
        var ranks: [Rank]
    }

    /// Models whose stages have two pieces and more. Most linears keep their weights, so that little is solved.
    private static let hidden = 2048

    private func compress(_ model: WideModel, _ name: String, _ flags: [String], ranks: Int?, threads: Int = 1) throws -> Report {
        let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output(name)] + flags, ranks: ranks, threads: threads)
        try #require(run.exitCode == 0, "\(name): \(run.errors)")
        return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: model.output(name) + "/cleave/report.json")))
    }

    private func expectSame(_ model: WideModel, _ reference: [String: Data], _ flags: [String], ranks: Int, threads: Int = 1) throws {
        _ = try compress(model, "other", flags, ranks: ranks, threads: threads)
        try SmallRun.expectEqual(model.output("other"), reference, "\(flags) on \(ranks) ranks")
        try FileManager.default.removeItem(atPath: model.output("other"))
    }

    /// On 8 ranks there are 6 batches, and some ranks have pieces of some stages alone.
    @Test func anySizeOfGroups() throws {
        let model = try WideModel(columns: 4096, hidden: Self.hidden, blocks: 2)
        let some = ["--set", "ignore=[lm_head, '*.q_proj', '*.o_proj', '*.gate_proj', '*.up_proj']"]
        _ = try compress(model, "reference", some, ranks: 1)
        let reference = try SmallRun.files(model.output("reference"))
        for (ranks, size) in [(4, 1), (4, 2), (4, 4), (8, 8)] { try expectSame(model, reference, some + ["--tensor-parallel", "\(size)"], ranks: ranks) }
        try expectSame(model, reference, some + ["--tensor-parallel", "2", "--activations", "scratch"], ranks: 2, threads: 2)
        try expectSame(model, reference, some + ["--tensor-parallel", "3", "--weights", "broadcast"], ranks: 3)
    }

    @Test(arguments: [("llama", ["compute=f32", "propagation=block"]), ("gpt2", ["format=dense"]), ("gpt_neox", ["propagation=block"]), ("gemma2", [])])
    func everyLayout(family: String, settings: [String]) throws {
        let model = try WideModel(columns: 2048, hidden: Self.hidden, blocks: 2, family: family)
        let kept = [
            "llama": "'*.q_proj', '*.k_proj', '*.gate_proj', '*.up_proj'", "gpt2": "'*.c_fc', '*h.0.attn.c_attn'",
            "gpt_neox": "'*.dense_h_to_4h', '*.0.attention.query_key_value'",
            "gemma2": "'*.q_proj', '*.k_proj', '*.v_proj', '*.gate_proj', '*.up_proj', '*.0.*'",
        ]
        let flags = (settings + ["ignore=[\(kept[family] ?? "")]"]).flatMap { ["--set", $0] }
        _ = try compress(model, "reference", flags, ranks: 1)
        let reference = try SmallRun.files(model.output("reference"))
        for size in family == "gemma2" ? [4] : [2, 4] { try expectSame(model, reference, flags + ["--tensor-parallel", "\(size)"], ranks: 4) }
    }

    @Test func resumingInOtherGroups() throws {
        let model = try WideModel(columns: 2048, hidden: Self.hidden, blocks: 2)
        let some = ["--set", "ignore=['*.q_proj', '*.o_proj', '*.gate_proj', '*.up_proj']"]
        _ = try compress(model, "whole", some, ranks: 1)
        let first = try CleaveProcess.run(
            ["compress", model.recipe, "--output", model.output("parts"), "--max-hours", "0.00001", "--tensor-parallel", "2"] + some, ranks: 2)
        #expect(first.exitCode == 75, "\(first.errors)")
        _ = try compress(model, "parts", some + ["--tensor-parallel", "4"], ranks: 4)
        try SmallRun.expectEqual(model.output("parts"), try SmallRun.files(model.output("whole")), "resumed")
    }

    /// Where the weights of a stage are most of what a rank holds, a limit that one rank by itself cannot keep is kept by two together.
    @Test func aLimitBelowAStagesWeights() throws {
        let model = try WideModel(columns: 8192, hidden: Self.hidden)
        let some = ["--set", "ignore=['*.q_proj', '*.o_proj', '*.up_proj', '*.gate_proj', '*.down_proj']", "--set", "propagation=block"]
        _ = try compress(model, "free", some, ranks: 1)
        func refusal(_ flags: [String]) throws -> String {
            let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("refused")] + some + flags, ranks: 4)
            #expect(run.exitCode == 65, "\(run.errors)")
            return run.errors
        }
        func sufficient(_ size: Int) throws -> Int { try model.sufficientLimit(some + ["--tensor-parallel", "\(size)"], ranks: 4) }
        let (alone, together) = (try sufficient(1), try sufficient(4))
        #expect(together < alone)
        let limit = ["--memory-per-rank", "\((alone + together) / 2)"]
        #expect(try refusal(limit + ["--tensor-parallel", "1"]).contains("--tensor-parallel"))
        let held = try compress(model, "held", some + limit, ranks: 4)
        #expect(held.memory.tensorParallel != nil)
        #expect(held.ranks.allSatisfy { $0.peakMemoryBytes <= held.memory.boundBytes }, "\(held.ranks.map(\.peakMemoryBytes)) above \(held.memory.boundBytes)")
        try SmallRun.expectEqual(model.output("held"), try SmallRun.files(model.output("free")), "held")
    }

    /// A rank whose disk fails between two batches of its group: one message, and no rank waits for it.
    @Test(arguments: [3, 5, 8, 30])
    func aMemberThatFailsEndsTheRun(write: Int) throws {
        let directory = try TemporaryDirectory()
        let fault = Fault(call: .write, path: "cleave-scratch", number: write, action: .error(EIO), rank: 1)
        let run = try SmallRun.compress(
            directory.path + "/out", flags: ["--activations", "scratch", "--tensor-parallel", "4"], ranks: 4,
            environment: fault.environment(try Fault.buildLibrary(in: directory)))
        #expect(run.exitCode == 73, "\(run.exitCode) \(run.errors)")
        #expect(run.errors.components(separatedBy: "write a scratch file").count == 2 && run.errors.contains("rank 1 on "), "\(run.errors)")
    }

    @Test func groupsThatCannotBeAreRefused() throws {
        let model = try WideModel(columns: 256)
        let divisor = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("out"), "--tensor-parallel", "2"], ranks: 3)
        #expect(divisor.exitCode == 64 && divisor.errors.contains("a divisor of the 3 ranks (1, 3)"), "\(divisor.errors)")
    }
}
