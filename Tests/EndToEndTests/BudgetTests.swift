// A budget of bits: what is measured and chosen is the same on any ranks and after any interruption, and serves other budgets.

import Foundation
import Testing

@Suite(.serialized) struct BudgetTests {
    private static let settings = ["compress.bits={average: 3.25, choices: [2, 3, 4]}"]

    private struct Table: Decodable {
        struct Choice: Decodable {
            var bits: Int?
            var sparsity: String?
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

    /// What report.json says of each linear.
    private func linears(_ output: String) throws -> [[String: Any]] {
        let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json"))) as? [String: Any]
        return try #require(report?["linears"] as? [[String: Any]])
    }

    private func bits(_ output: String) throws -> [String: Int] {
        let linears = try linears(output)
        return Dictionary(uniqueKeysWithValues: linears.map { ($0["name"] as? String ?? "", $0["bits"] as? Int ?? 0) })
    }

    /// The trace shows every phase of the report's table of times, and every part of the run, also those before there is a place for a trace.
    private func expectTraceOfAllPhases(_ output: String) throws {
        struct Span: Decodable {
            var name: String
            var cat: String?
            var ts: Double?
            var dur: Double?
        }
        struct Report: Decodable {
            struct Rank: Decodable { var seconds: [String: Double] }
            var ranks: [Rank]
        }
        func read<Value: Decodable>(_ name: String, _: Value.Type) throws -> Value {
            try JSONDecoder().decode(Value.self, from: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/" + name)))
        }
        let spans = try read("trace.json", [Span].self), seconds = try #require(try read("report.json", Report.self).ranks.first).seconds
        let phases = Dictionary(grouping: spans.filter { $0.cat == "phase" }, by: \.name).mapValues { $0.reduce(0) { $0 + ($1.dur ?? 0) } / 1e6 }
        #expect(Set(phases.keys) == Set(seconds.keys))
        for (phase, time) in seconds { #expect(abs((phases[phase] ?? 0) - time) < 1e-3 + time / 1000, "\(phase): \(time) s") }
        let parts = spans.filter { $0.cat == "part" }.map(\.name)
        #expect(parts == ["losses", "compress", "merge", "verify"])
        #expect(spans.allSatisfy { ($0.ts ?? 0) >= 0 } && spans.contains { $0.ts.map { $0 < 1e6 } ?? false })
    }

    @Test func anyNumberOfRanks() throws {
        let directory = try TemporaryDirectory()
        let first = try SmallRun.compress(directory.path + "/1", Self.settings, flags: ["--trace"], ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        try expectTraceOfAllPhases(directory.path + "/1")
        let (reference, losses) = (try SmallRun.files(directory.path + "/1"), try table(directory.path + "/1"))
        for (ranks, threads, flags) in [
            (2, 1, []), (3, 2, ["--weights", "broadcast"]), (4, 1, ["--tensor-parallel", "2", "--activations", "scratch"]),
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

    /// A budget of zeros: shares differ, the whole has what was asked for, and ranks do not matter.
    @Test(arguments: ["sparsegpt", "admm", "wanda", "exactobs"]) func sharesOfZeros(method: String) throws {
        let model = try smallModel()
        func compress(_ name: String, ranks: Int) throws {
            let settings = ["compress={method: \(method), sparsity: {average: 0.5, choices: [0.3, 0.5, 0.7]}}", "evaluation=null"]
            let run = try self.compress([model.recipe, "--output", model.output(name)] + settings.flatMap { ["--set", $0] }, ranks: ranks)
            try #require(run.exitCode == 0 && run.output.contains("verified"), "\(name): \(run.errors)")
        }
        try compress("one", ranks: 1)
        let (reference, losses) = (try SmallRun.files(model.output("one")), try table(model.output("one")))
        try compress("three", ranks: 3)
        try SmallRun.expectEqual(model.output("three"), reference, "on 3 ranks")
        #expect(try table(model.output("three")) == losses)
        let units = try JSONDecoder().decode(Table.self, from: losses).units
        for unit in units {
            #expect(unit.choices.map(\.sparsity) == ["0.7", "0.5", "0.3"], "\(unit)")
            let found = unit.choices.map { $0.loss ?? 0 }
            #expect(found[0] > found[1] && found[1] > found[2] && found[2] > 0 && (unit.divergence ?? -1) > 0, "\(unit)")
        }
        let linears = try linears(model.output("one"))
        let zeros = linears.map { $0["sparsity"] as? Double ?? -1 }
        #expect(Set(zeros.map { ($0 * 10).rounded() }).count > 1, "\(zeros)")
        // gate, up and down have 256 x 128 weights, the others 128 x 128.
        let weights = linears.map { ($0["name"] as? String ?? "").contains(".mlp.") ? 2.0 : 1.0 }
        let share = zip(zeros, weights).reduce(0) { $0 + $1.0 * $1.1 } / weights.reduce(0, +)
        #expect(share > 0.4999 && share < 0.53, "\(share)")
    }

    /// Losses that were measured of some choices are not those of others, whatever it is in which these differ.
    @Test(arguments: [
        ("{bits: {average: 3.25, choices: [2, 3, 4]}, group: 64}", "{bits: {average: 3.25, choices: [2, 3, 8]}, group: 64}"),
        ("{bits: {average: 3.25, choices: [3, 4], groups: [32, 64]}}", "{bits: {average: 3.25, choices: [3, 4], groups: [32, 128]}}"),
        ("{method: sparsegpt, sparsity: {average: 0.5, choices: [0.3, 0.5, 0.7]}}", "{method: sparsegpt, sparsity: {average: 0.5, choices: [0.3, 0.5, 0.6]}}"),
        ("{method: wanda, sparsity: {average: 0.5, choices: [0.4, 0.5]}}", "{method: sparsegpt, sparsity: {average: 0.5, choices: [0.4, 0.5]}}"),
    ])
    func otherChoicesAreOtherLosses(first: String, second: String) throws {
        let model = try smallModel()
        func measure(_ settings: String, _ more: [String]) throws -> CleaveRun {
            try compress([model.recipe, "--output", model.output("out"), "--set", "compress=\(settings)"], more, ranks: 2)
        }
        let stopped = try measure(first, ["--max-hours", "0.000001"])
        try #require(stopped.exitCode == 75, "\(stopped.errors)")
        let other = try measure(second, [])
        #expect(other.exitCode == 65 && other.errors.contains("unfinished run of another plan"), "\(other.exitCode) \(other.errors)")
        #expect(try measure(first, []).exitCode == 0)
    }

    // MARK: - A small random model

    private func smallModel() throws -> WideModel { try WideModel(columns: 256, blocks: 3) }

    private func arguments(_ model: WideModel, _ name: String, _ bits: String = "average: 3.25, choices: [2, 3, 4]", _ more: [String] = []) -> [String] {
        [model.recipe, "--output", model.output(name)] + (["compress={bits: {\(bits)}, group: 64}"] + more).flatMap { ["--set", $0] }
    }

    private func compress(_ arguments: [String], _ flags: [String] = [], ranks: Int, environment: [String] = []) throws -> CleaveRun {
        try CleaveProcess.run(["compress"] + arguments + flags, ranks: ranks, environment: environment)
    }

    /// Interrupted while losses are measured, while the table is written, and afterwards.
    @Test func whateverIsInterrupted() throws {
        let model = try smallModel(), directory = try TemporaryDirectory()
        let library = try Fault.buildLibrary(in: directory)
        try #require(try compress(arguments(model, "whole"), ranks: 2).exitCode == 0)
        let (reference, losses) = (try SmallRun.files(model.output("whole")), try table(model.output("whole")))
        let places: [(Fault.Call, String, Int, Int)] = [
            (.write, "/losses/cleave/partial/", 2, 1), (.rename, "/losses/cleave/partial/", 3, 1), (.fsync, "/losses/cleave/journal/", 2, 1),
            (.write, "losses.json", 1, 0), (.rename, "losses.json", 1, 0), (.rename, "losses.json", 2, 0), (.write, "out/cleave/partial/", 2, 1),
        ]
        for (index, (call, path, number, rank)) in places.enumerated() {
            let name = "\(index)/out"
            let fault = Fault(call: call, path: path, number: number, action: .kill, rank: rank)
            let run = try compress(arguments(model, name), ranks: 2, environment: fault.environment(library))
            #expect(run.exitCode != 0, "\(fault) was not reached")
            let resumed = try compress(arguments(model, name), ranks: 1 + index % 3)
            #expect(resumed.exitCode == 0, "killed at \(fault): \(resumed.errors)")
            // Tiles that were committed while losses were measured are not solved again.
            if index == 2 { #expect(resumed.errors.contains("resuming:"), "\(resumed.errors)") }
            try SmallRun.expectEqual(model.output(name), reference, "killed at \(fault)")
            #expect(try table(model.output(name)) == losses, "killed at \(fault): other losses")
            let names = FileManager.default.enumerator(atPath: model.output(name))?.compactMap { $0 as? String } ?? []
            #expect(names.allSatisfy { !$0.contains(".tmp-") && !$0.contains("/partial/") }, "killed at \(fault): \(names)")
        }
    }

    @Test func aRunStopsInGoodOrderWhileItMeasures() throws {
        let model = try smallModel()
        let stopped = try compress(arguments(model, "out"), ["--max-hours", "0.00001"], ranks: 2)
        #expect(stopped.exitCode == 75 && stopped.errors.contains("stopped in good order"), "\(stopped.errors)")
        let resumed = try compress(arguments(model, "out"), ranks: 3)
        #expect(resumed.exitCode == 0 && resumed.errors.contains("resuming:"), "\(resumed.errors)")
    }

    /// A table serves another budget: the result is that of a run that measures for itself.
    @Test func aTableServesOtherBudgets() throws {
        let model = try smallModel(), table = model.output("first") + "/cleave/losses.json"
        try #require(try compress(arguments(model, "first"), ranks: 2).exitCode == 0)
        let size = "size: 230KB, choices: [2, 3, 4]"
        try #require(try compress(arguments(model, "second", size), ranks: 2).exitCode == 0)
        let undecided = try CleaveProcess.run(["plan"] + arguments(model, "none"), ranks: 2)
        #expect(undecided.exitCode == 0 && undecided.output.contains("decided after measuring"), "\(undecided.errors)")
        let reused = arguments(model, "third", size + ", losses: \(table)")
        let planned = try CleaveProcess.run(["plan"] + reused)
        #expect(planned.exitCode == 0 && planned.output.contains("gate+up") && !planned.output.contains("decided after"), "\(planned.errors)")
        let run = try compress(reused, ranks: 3)
        #expect(run.exitCode == 0 && !run.errors.contains("measuring losses"), "\(run.errors)")
        try SmallRun.expectEqual(model.output("third"), try SmallRun.files(model.output("second")), "with another run's table")
        // A budget of bytes is that of the tensors of the result, which headers of some kilobytes precede.
        let bytes = try SmallRun.files(model.output("second")).filter { $0.key.hasSuffix(".safetensors") }.reduce(0) { $0 + $1.value.count }
        #expect(bytes > 220_000 && bytes < 250_000, "\(bytes)")
    }

    /// Widths of several kinds in one result, in every format that has them; compress verifies it.
    @Test(arguments: ["gptq", "gptq_v2", "dense"]) func formatsCarryWhatIsChosen(format: String) throws {
        let model = try smallModel()
        let run = try compress(arguments(model, format, "average: 3.25, choices: [2, 3, 4]", ["format=\(format)"]), ranks: 2)
        #expect(run.exitCode == 0 && run.output.contains("verified"), "\(run.errors)")
        #expect(try Set(bits(model.output(format)).values).count > 1)
    }

    @Test func tablesThatDoNotFitAreRefused() throws {
        let model = try smallModel(), path = model.output("first") + "/cleave/losses.json"
        try #require(try compress(arguments(model, "first"), ranks: 2).exitCode == 0)
        func expectRefusal(_ bits: String, _ code: Int32, _ message: String, _ more: [String] = []) throws {
            let run = try compress(arguments(model, "refused", bits, more), ranks: 2)
            #expect(run.exitCode == code && run.errors.components(separatedBy: message).count == 2, "\(bits): \(run.errors)")
        }
        let damaged = model.output("damaged.json")
        let text = String(decoding: try table(model.output("first")), as: UTF8.self).replacing("\"bits\" : 4", with: "\"bits\" : 8")
        try Data(text.utf8).write(to: URL(fileURLWithPath: damaged))
        let choices = "choices: [2, 3, 4]"
        try expectRefusal("average: 3, \(choices), losses: \(path)", 65, "was measured for another plan", ["calibration.batch=2"])
        try expectRefusal("average: 3, choices: [3, 4], losses: \(path)", 65, "was measured for another plan")
        try expectRefusal("average: 2, \(choices), losses: \(path)", 65, "the smallest choices of all units take 2.25")
        try expectRefusal("average: 3, \(choices), losses: nowhere.json", 66, "nowhere.json: no such file")
        try expectRefusal("average: 3, \(choices), losses: \(damaged)", 65, "is not a table of losses")
        try expectRefusal("average: 3, \(choices)", 65, "cannot carry", ["format=marlin"])
    }

    /// Under the limit that a refusal names, while losses are measured too: the same bytes, within the bound.
    @Test(arguments: [1, 2]) func aLimitChangesMemoryAlone(ranks: Int) throws {
        struct Report: Decodable {
            struct Memory: Decodable { var boundBytes: Int }
            struct Rank: Decodable { var peakMemoryBytes: Int }
            var memory: Memory
            var ranks: [Rank]
        }
        let model = try WideModel(columns: 3200)
        let flags = ["--set", "compress={bits: {average: 3.5, choices: [2, 3, 4], groups: [64, 128]}}"]
        func compress(_ name: String, _ more: [String] = []) throws -> CleaveRun {
            try CleaveProcess.run(["compress", model.recipe, "--output", model.output(name)] + flags + more, ranks: ranks)
        }
        try #require(compress("free").exitCode == 0)
        let limit = try model.sufficientLimit(flags, ranks: ranks)
        let run = try compress("held", ["--memory-per-rank", "\(limit)"])
        try #require(run.exitCode == 0, "\(run.errors)")
        try SmallRun.expectEqual(model.output("held"), try SmallRun.files(model.output("free")), "in \(limit) bytes")
        #expect(try table(model.output("held")) == table(model.output("free")))
        let reports = try ["free", "held"].map { name in
            try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: model.output(name) + "/cleave/report.json")))
        }
        for report in reports {
            #expect((report.ranks.map(\.peakMemoryBytes).max() ?? 0) <= report.memory.boundBytes, "\(report)")
        }
        #expect(reports[1].memory.boundBytes <= limit && reports[1].memory.boundBytes < reports[0].memory.boundBytes / 4 * 3)
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
