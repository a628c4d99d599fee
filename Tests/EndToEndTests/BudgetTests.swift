// A budget of bits: what is measured and chosen is the same on any ranks and after any interruption, and serves other budgets.

import Foundation
import Testing

@Suite(.serialized) struct BudgetTests {
    private static func budget(_ more: String, choices: String = "[2, 3, 4]") -> [String] { ["compress.bits={\(more), choices: \(choices)}"] }
    private static let settings = budget("average: 3.25")

    private struct Table: Decodable {
        struct Choice: Decodable {
            var bits: Int
            var loss: Double?
        }
        struct Unit: Decodable {
            var name: String
            var weights: Int
            var choices: [Choice]
            var divergence: Double?
        }
        var units: [Unit]
    }

    private func table(_ output: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: output + "/cleave/losses.json")) }

    private func json(_ run: CleaveRun) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.errors)")
    }

    /// Bits of each linear by report.json.
    private func bits(_ output: String) throws -> [String: Int] {
        let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json"))) as? [String: Any]
        let linears = try #require(report?["linears"] as? [[String: Any]])
        return Dictionary(uniqueKeysWithValues: linears.map { ($0["name"] as? String ?? "", $0["bits"] as? Int ?? 0) })
    }

    @Test func anyNumberOfRanks() throws {
        let directory = try TemporaryDirectory()
        let first = try SmallRun.compress(directory.path + "/1", Self.settings, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        let (reference, losses) = (try SmallRun.files(directory.path + "/1"), try table(directory.path + "/1"))
        for (ranks, threads, flags) in [
            (2, 1, []), (3, 2, []), (4, 1, ["--tensor-parallel", "2"]), (2, 1, ["--activations", "scratch"]), (3, 1, ["--weights", "broadcast"]),
        ] as [(Int, Int, [String])] {
            let output = directory.path + "/other"
            let run = try SmallRun.compress(output, Self.settings, flags: flags, ranks: ranks, threads: threads)
            try #require(run.exitCode == 0, "\(flags) on \(ranks) ranks: \(run.errors)")
            try SmallRun.expectEqual(output, reference, "\(flags) on \(ranks) ranks")
            #expect(try table(output) == losses, "\(flags) on \(ranks) ranks: other losses")
            try FileManager.default.removeItem(atPath: output)
        }

        // What was measured is worth its name.
        let units = try JSONDecoder().decode(Table.self, from: losses).units
        #expect(units.count == 32 && units.allSatisfy { ($0.divergence ?? -1) > 0 })
        for unit in units {
            let found = unit.choices.map { $0.loss ?? 0 }
            #expect(unit.choices.map(\.bits) == [2, 3, 4] && found[0] > 2 * found[1] && found[1] > 2 * found[2] && found[2] > 0, "\(unit)")
        }
        // Fused linears agree, widths differ, and the budget holds: a scale of 16 bits for each 64 codes.
        let bits = try bits(directory.path + "/1")
        for block in 0..<8 {
            let name = "model.layers.\(block)."
            for ends in [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["mlp.gate_proj", "mlp.up_proj"]] {
                #expect(Set(ends.map { bits[name + $0] }).count == 1)
            }
        }
        #expect(Set(bits.values).count > 1)
        let shown = try json(CleaveProcess.run(["plan", "--json"] + SmallRun.arguments(directory.path + "/1", Self.settings).dropFirst(), ranks: 2))
        let average = try #require((shown["budget"] as? [String: Any])?["average"] as? Double)
        #expect(average <= 3.25 && average > 3.2)
        let files = try #require(shown["files"] as? [String: Double])
        #expect(abs((files["bitsPerWeight"] ?? 0) - average) < 0.01)
        #expect(try SmallRun.compress(directory.path + "/1", Self.settings, ranks: 2).output.contains("nothing to do"))
    }

    /// Interrupted while losses are measured, while the table is written, and afterwards.
    @Test func whateverIsInterrupted() throws {
        let directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        try #require(try SmallRun.compress(directory.path + "/whole", Self.settings, ranks: 2).exitCode == 0)
        let (reference, losses) = (try SmallRun.files(directory.path + "/whole"), try table(directory.path + "/whole"))
        let places: [(Fault.Call, String, Int, Int)] = [
            (.write, "/losses/cleave/partial/", 3, 1), (.rename, "/losses/cleave/partial/", 5, 1), (.fsync, "/losses/cleave/journal/", 6, 1),
            (.write, "losses.json", 1, 0), (.rename, "losses.json", 1, 0), (.rename, "losses.json", 2, 0), (.write, "out/cleave/partial/", 3, 1),
        ]
        for (index, (call, path, number, rank)) in places.enumerated() {
            let output = directory.path + "/\(index)/out"
            let fault = Fault(call: call, path: path, number: number, action: .kill, rank: rank)
            let run = try SmallRun.compress(output, Self.settings, ranks: 2, environment: fault.environment(library))
            #expect(run.exitCode != 0, "\(fault) was not reached")
            let resumed = try SmallRun.compress(output, Self.settings, ranks: 1 + index % 3)
            #expect(resumed.exitCode == 0, "killed at \(fault): \(resumed.errors)")
            // Tiles that were committed while losses were measured are not solved again.
            if index == 2 { #expect(resumed.errors.contains("resuming:"), "\(resumed.errors)") }
            try SmallRun.expectEqual(output, reference, "killed at \(fault)")
            #expect(try table(output) == losses, "killed at \(fault): other losses")
            let names = FileManager.default.enumerator(atPath: output)?.compactMap { $0 as? String } ?? []
            #expect(names.allSatisfy { !$0.contains(".tmp-") && !$0.contains("/partial/") }, "killed at \(fault): \(names)")
        }
    }

    @Test func aRunStopsInGoodOrderWhileItMeasures() throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let stopped = try SmallRun.compress(output, Self.settings, flags: ["--max-hours", "0.0001"], ranks: 2)
        #expect(stopped.exitCode == 75 && stopped.errors.contains("stopped in good order"), "\(stopped.errors)")
        let resumed = try SmallRun.compress(output, Self.settings, ranks: 3)
        #expect(resumed.exitCode == 0 && resumed.errors.contains("resuming:"), "\(resumed.errors)")
    }

    /// A table serves another budget: the result is that of a run that measures for itself.
    @Test func aTableServesOtherBudgets() throws {
        let directory = try TemporaryDirectory()
        let (first, second) = (directory.path + "/first", directory.path + "/second")
        try #require(try SmallRun.compress(first, Self.settings, ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(second, Self.budget("size: 6.7MB"), ranks: 2).exitCode == 0)
        let reused = Self.budget("size: 6.7MB, losses: \(first)/cleave/losses.json")
        let undecided = try CleaveProcess.run(["plan"] + SmallRun.arguments(directory.path + "/none", Self.settings).dropFirst(), ranks: 2)
        #expect(undecided.exitCode == 0 && undecided.output.contains("decided after measuring"), "\(undecided.errors)")
        let planned = try CleaveProcess.run(["plan"] + SmallRun.arguments(directory.path + "/third", reused).dropFirst())
        #expect(planned.exitCode == 0 && planned.output.contains("gate+up") && !planned.output.contains("decided after"), "\(planned.errors)")
        let run = try SmallRun.compress(directory.path + "/third", reused, ranks: 3)
        #expect(run.exitCode == 0 && !run.errors.contains("measuring losses"), "\(run.errors)")
        try SmallRun.expectEqual(directory.path + "/third", try SmallRun.files(second), "with another run's table")
        // A budget of bytes is that of the tensors of the result.
        let bytes = try SmallRun.files(second).filter { $0.key.hasSuffix(".safetensors") }.reduce(0) { $0 + $1.value.count }
        #expect(bytes < 6_800_000 && bytes > 6_500_000, "\(bytes)")

        func expectRefusal(_ settings: [String], _ code: Int32, _ message: String) throws {
            let run = try SmallRun.compress(directory.path + "/refused", settings, ranks: 2)
            #expect(run.exitCode == code && run.errors.components(separatedBy: message).count == 2, "\(settings): \(run.errors)")
        }
        try expectRefusal(reused + ["calibration.seed=1"], 65, "was measured for another plan")
        try expectRefusal(Self.budget("average: 3, losses: \(first)/cleave/losses.json", choices: "[3, 4]"), 65, "was measured for another plan")
        try expectRefusal(Self.budget("average: 2, losses: \(first)/cleave/losses.json"), 65, "the smallest choices of all units take 2.25")
        try expectRefusal(Self.budget("average: 3, losses: nowhere.json"), 66, "nowhere.json: no such file")
        let damaged = directory.path + "/damaged.json"
        let text = String(decoding: try table(first), as: UTF8.self).replacing("\"bits\" : 4", with: "\"bits\" : 8")
        try Data(text.utf8).write(to: URL(fileURLWithPath: damaged))
        try expectRefusal(Self.budget("average: 3, losses: \(damaged)"), 65, "is not a table of losses")
        try expectRefusal(Self.settings + ["format=marlin", "compress.group=128"], 65, "cannot carry")
    }

    /// The experts of a block get one width; what is measured on them does not depend on whose they are.
    @Test(arguments: [("qwen2_moe", 2), ("deepseek_v3", 2)]) func expertsAreAUnit(family: String, blocks: Int) throws {
        let model = try WideModel(columns: 128, blocks: blocks, family: family, experts: 6)
        let flags = ["--set", "compress={bits: {average: 3.5, choices: [2, 3, 4]}, group: 16}"]
        func compress(_ name: String, _ more: [String] = [], ranks: Int) throws {
            let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output(name)] + flags + more, ranks: ranks)
            try #require(run.exitCode == 0, "\(name) on \(ranks) ranks: \(run.errors)")
        }
        try compress("reference", ranks: 1)
        let (reference, losses) = (try SmallRun.files(model.output("reference")), try table(model.output("reference")))
        let units = try JSONDecoder().decode(Table.self, from: losses).units
        #expect(units.contains { $0.name.hasSuffix(", experts") && ($0.divergence ?? 0) > 0 && $0.choices.allSatisfy { ($0.loss ?? 0) > 0 } }, "\(units)")
        let experts = try bits(model.output("reference")).filter { $0.key.contains(".experts.") }
        for block in 0..<blocks { #expect(Set(experts.filter { $0.key.contains("layers.\(block).") }.values).count <= 1) }
        for (ranks, more) in [(2, []), (3, ["--activations", "scratch"]), (8, [])] {
            try compress("other", more, ranks: ranks)
            try SmallRun.expectEqual(model.output("other"), reference, "\(more) on \(ranks) ranks")
            #expect(try table(model.output("other")) == losses, "\(more) on \(ranks) ranks: other losses")
            try FileManager.default.removeItem(atPath: model.output("other"))
        }
    }
}
