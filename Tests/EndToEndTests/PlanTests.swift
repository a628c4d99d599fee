// Plans of models whose weights are not there, and what a plan says against what a run then does.

import Foundation
import Testing

private let shapes = CleaveProcess.root + "/Benchmarks/shapes"
private let profile = CleaveProcess.root + "/Benchmarks/profiles/zen4-8cores-200gbit.json"

private func json(_ run: CleaveRun) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.errors)")
}

@Suite(.serialized) struct PlanTests {
    @Test(arguments: [("llama-3.1-405b", 811.7, 44), ("deepseek-v3", 1342, 70), ("dense-540b", 1081, 60)])
    func aShapeAloneIsPlanned(name: String, gigabytes: Double, shards: Int) throws {
        let run = try CleaveProcess.run(["plan", "--shape", "\(shapes)/\(name)/config.json", "--ranks", "8,1024", "--machine", profile, "--json"], ranks: 2)
        #expect(run.exitCode == 0, "\(run.errors)")
        let plan = try json(run)
        #expect(plan["plan"] == nil)
        let files = try #require(plan["files"] as? [String: Double])
        #expect(abs((files["sourceBytes"] ?? 0) / 1e9 - gigabytes) < 0.001 * gigabytes && files["outputFiles"] == Double(shards), "\(files)")
        // 4 bits and a scale of 16 for each 128 weights, embeddings and head as they are.
        let output = try #require(files["outputBytes"])
        #expect(output > 0.2578 * gigabytes * 1e9 && output < 0.28 * gigabytes * 1e9)
        #expect(abs((files["bitsPerWeight"] ?? 0) - 4.125) < 0.001)
        let predictions = try #require(plan["predictions"] as? [[String: Double]])
        let costs = try #require(plan["costs"] as? [[String: Double]])
        #expect(costs.count == 2 && costs.allSatisfy { ($0["memory"] ?? 0) > 1e9 && ($0["partialFiles"] ?? 0) > 100 })
        #expect(predictions.count == 2 && predictions.allSatisfy { $0.values.allSatisfy { $0 >= 0 && $0.isFinite } })
        #expect(predictions[1]["forward"]! < 0.1 * predictions[0]["forward"]!)
    }

    /// The demo model's config.json without its weights: the same linears, tiles, costs and files as with them.
    @Test func aDirectoryWithoutWeightsIsPlannedAsWithThem() throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.copyItem(atPath: CleaveProcess.root + "/Demo/wikillama/config.json", toPath: directory.path + "/config.json")
        let whole = try json(CleaveProcess.run(["plan", "Configs/demo.yaml", "--json"]))
        for arguments in [["--model", directory.path], ["--shape", directory.path], ["--shape", directory.path + "/config.json"]] {
            let run = try CleaveProcess.run(["plan", "Configs/demo.yaml", "--json", "--set", "calibration.source=nowhere.txt"] + arguments, ranks: 2)
            #expect(run.exitCode == 0, "\(run.errors)")
            var shape = try json(run)
            var other = whole
            #expect(shape.removeValue(forKey: "plan") == nil && other.removeValue(forKey: "plan") != nil)
            #expect(NSDictionary(dictionary: shape) == NSDictionary(dictionary: other), "\(arguments)")
        }
        let text = try CleaveProcess.run(["plan", "Configs/demo.yaml", "--shape", directory.path])
        #expect(text.output.contains("none yet: the weights are not there"))
    }

    @Test(
        arguments: [
            (["plan"], 64, "give a recipe, or --shape"), (["plan", "--shape", "Demo", "--model", "Demo"], 64, "--model has no meaning"),
            (["plan", "--shape", "no-such.json"], 66, "no-such.json: no such file"), (["plan", "--shape", "README.md"], 65, "README.md is not a JSON object"),
            (["plan", "--shape", "Demo"], 66, "Demo/config.json: The file does not exist"),
            (["plan", "--shape", "Demo/wikillama", "--set", "compress.group=128"], 65, "not a multiple of the group"),
            (["plan", "--shape", "Demo/wikillama", "--machine", "Demo/wikillama/config.json"], 65, "no machine profile of this version"),
            (["compress", "Configs/demo.yaml", "--model", "Benchmarks/shapes/dense-540b"], 66, "neither model.safetensors nor"),
        ] as [([String], Int32, String)])
    func refusalsAreSaidOnce(arguments: [String], code: Int32, message: String) throws {
        let run = try CleaveProcess.run(arguments, ranks: 2)
        #expect(run.exitCode == code, "\(run.errors)")
        #expect(run.errors.components(separatedBy: message).count == 2, "\(run.errors)")
    }

    /// What is counted before a run is what a run then does: arithmetic exactly, messages and weights read to within their small change.
    @Test(
        arguments: [
            (1, 1, []), (3, 1, []), (4, 2, []), (3, 1, ["compress={method: admm, sparsity: 0.5}"]),
            (3, 1, ["compress.target=dense", "compress.stream_strength=1"]),
            (3, 1, ["compress={method: obq, group: 64}", "rules=[{match: '*.2.*'}, {match: '*.7.*', method: gptq}]"]),
        ] as [(Int, Int, [String])])
    func aRunDoesWhatThePlanSaid(ranks: Int, tensorParallel: Int, more: [String]) throws {
        let directory = try TemporaryDirectory()
        let output = directory.path + "/out"
        let small = ["calibration.sequences=12", "calibration.length=96", "calibration.batch=2", "evaluation=null"]
        let settings = (small + more).flatMap { ["--set", $0] }
        let plan = try json(
            CleaveProcess.run(["plan", "Configs/demo.yaml", "--ranks", "\(ranks)", "--tensor-parallel", "\(tensorParallel)", "--json"] + settings))
        let costs = try #require((plan["costs"] as? [[String: Double]])?.first)
        try #require(
            CleaveProcess.run(
                ["compress", "Configs/demo.yaml", "--output", output, "--no-merge", "--tensor-parallel", "\(tensorParallel)"] + settings, ranks: ranks
            ).exitCode == 0)
        let report = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: output + "/cleave/report.json"))) as? [String: Any])
        let found = try #require(report["ranks"] as? [[String: Any]])
        func operations(_ phase: String) -> Double { found.compactMap { ($0["operations"] as? [String: Double])?[phase] }.max() ?? 0 }
        func expect(_ phase: String, _ key: String, _ least: Double, _ most: Double = 1.0001) {
            let share = operations(phase) / (costs[key] ?? 0)
            #expect(share > least && share < most, "\(phase): \(share)")
        }
        // The last stage of all is never run forward.
        expect("forward", "forwardOperations", 0.96)
        // Of a group each rank has some blocks, which are not quite the same number.
        expect("hessian", "hessianOperations", 0.9999, tensorParallel == 1 ? 1.0001 : 1.1)
        expect("solve", "solveOperations", 0.9)
        // The busiest of a whole run against the sum of the busiest of each stage.
        expect("factor", "factorOperations", 0.6)
        let sent = found.compactMap { $0["bytesSent"] as? Double }.max() ?? 0
        // The rank that sends the most of its batches is not the one that sends the most of its panels.
        let off = tensorParallel == 1 ? 0.1 : 0.15
        #expect(ranks == 1 ? sent == 0 && costs["bytesSent"] == 0 : abs(sent / (costs["bytesSent"] ?? 0) - 1) < off, "\(sent) \(costs)")
    }
}
