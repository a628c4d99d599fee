// Scales of keys and values: the same bytes on any ranks and groups of ranks, and after any kill.

import Foundation
import Testing

@Suite(.serialized) struct KeyValueCacheTests {
    private static let settings = ["kv_cache=fp8"]

    @Test(arguments: ["stage", "block"])
    func anyNumberOfRanks(propagation: String) throws {
        let directory = try TemporaryDirectory(), settings = Self.settings + ["propagation=\(propagation)"]
        try SmallRun.expectSameOnRanks(directory, settings)
        let inspected = try CleaveProcess.run(["inspect", directory.path + "/1", "--tensors"])
        #expect(inspected.output.contains("keys and values of a server's cache: float 8 bits by tensor"), "\(inspected.output)")
        for block in 0..<8 { for part in ["k", "v"] { #expect(inspected.output.contains("model.layers.\(block).self_attn.\(part)_scale")) } }
        let evaluated = try CleaveProcess.run(["eval", directory.path + "/1", "--data", "Demo/evaluation.txt", "--length", "64", "--sequences", "1"])
        #expect(evaluated.exitCode == 0 && evaluated.errors.contains("keep keys and values as float 8 bits by tensor"), "\(evaluated.errors)")
        let dense = try CleaveProcess.run(["convert", directory.path + "/1", "--format", "dense", "--output", directory.path + "/dense"])
        #expect(dense.exitCode == 0, "\(dense.errors)")
        #expect(try !CleaveProcess.run(["inspect", directory.path + "/dense", "--tensors"]).output.contains("k_scale"))
    }

    /// Killed before and behind the record's rename, behind the last tile, and while the result is written.
    @Test func anyKill() throws {
        let directory = try TemporaryDirectory(), library = try Fault.buildLibrary(in: directory)
        try #require(try SmallRun.compress(directory.path + "/whole", Self.settings, ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(directory.path + "/whole")
        let places: [(Fault.Call, String, Int, Int)] = [
            (.write, "/cache.json", 1, 0), (.rename, "/cache.json", 1, 0), (.fsync, "/cache.json", 4, 0), (.rename, "/cache.json", 8, 0),
            (.write, "/journal/", 3, 1), (.rename, "/model-", 1, 1), (.rename, "config.json", 1, 0),
        ]
        for (index, (call, path, number, rank)) in places.enumerated() {
            let output = directory.path + "/\(index)"
            let fault = Fault(call: call, path: path, number: number, action: .kill, rank: rank)
            let run = try SmallRun.compress(output, Self.settings, ranks: 2, environment: fault.environment(library))
            #expect(run.exitCode != 0, "\(fault) was not reached")
            let resumed = try SmallRun.compress(output, Self.settings, ranks: 1 + index % 3)
            try #require(resumed.exitCode == 0, "\(fault): \(resumed.errors)")
            try SmallRun.expectEqual(output, reference, "killed at \(fault)")
        }
    }

    /// Ranks that share a stage each see some of its heads.
    @Test func groupsOfRanks() throws {
        let model = try WideModel(columns: 2048, hidden: 2048, blocks: 2)
        let flags = ["kv_cache={type: fp8, strategy: attn_head}", "ignore=['*.q_proj', '*.o_proj', '*.gate_proj', '*.up_proj']"].flatMap { ["--set", $0] }
        func compress(_ name: String, _ more: [String], ranks: Int) throws {
            let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output(name)] + flags + more, ranks: ranks)
            try #require(run.exitCode == 0, "\(name): \(run.errors)")
        }
        try compress("one", [], ranks: 1)
        for size in [2, 4] {
            try compress("\(size)", ["--tensor-parallel", "\(size)"], ranks: 4)
            try SmallRun.expectEqual(model.output("\(size)"), try SmallRun.files(model.output("one")), "groups of \(size)")
        }
    }

    @Test func whereThereIsNoPlaceForScales() throws {
        let directory = try TemporaryDirectory()
        let run = try SmallRun.compress(directory.path + "/out", Self.settings + ["format=dense"], ranks: nil)
        #expect(run.exitCode == 65 && run.errors.contains("`kv_cache` goes with `format: compressed-tensors`, and dense has no place"), "\(run.errors)")
        let plan = try CleaveProcess.run(["plan", "Configs/demo.yaml", "--output", directory.path + "/out", "--set", "kv_cache=fp8"])
        #expect(plan.output.contains("keys and values that servers keep, in fp8 in 8 blocks: one scale of each from the largest of the calibration"))
    }
}
