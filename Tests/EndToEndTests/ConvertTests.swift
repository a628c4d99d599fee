// `cleave convert`: there and back gives the same files, on any number of ranks.

import Foundation
import Testing

@Suite(.serialized) struct ConvertTests {
    private static let settings = ["compress.method=rtn", "compress.grid=minmax", "calibration=null"]

    private func convert(_ source: String, _ format: String, _ output: String, ranks: Int?) throws -> CleaveRun {
        try CleaveProcess.run(["convert", source, "--format", format, "--output", output], ranks: ranks)
    }

    /// Solved by GPTQ on half-precision scales, and the ways from there that hold them.
    @Test func thereAndBack() throws {
        let directory = try TemporaryDirectory()
        func path(_ name: String) -> String { directory.path + "/" + name }
        try #require(try SmallRun.compress(path("gptq"), ["format=gptq", "compress.symmetric=false"], ranks: 2).exitCode == 0)
        let first = try SmallRun.files(path("gptq"))
        #expect(first.keys.contains("quantize_config.json") && first.keys.contains("model.safetensors.index.json"))
        #expect(try SmallRun.compress(path("one"), ["format=gptq", "compress.symmetric=false"], ranks: 1).exitCode == 0)
        try SmallRun.expectEqual(path("one"), first, "compressed on one rank")

        let there = try convert(path("gptq"), "gptq_v2", path("v2"), ranks: 3)
        #expect(there.exitCode == 0 && there.output.contains("converted 56 linears from gptq to gptq_v2"), "\(there.errors)")
        #expect(try convert(path("gptq"), "gptq_v2", path("v2-alone"), ranks: nil).exitCode == 0)
        try SmallRun.expectEqual(path("v2-alone"), try SmallRun.files(path("v2")), "converted by one rank")
        #expect(try CleaveProcess.run(["verify", path("v2")], ranks: 2).exitCode == 0)
        #expect(try convert(path("v2"), "gptq", path("back"), ranks: 2).exitCode == 0)
        try SmallRun.expectEqual(path("back"), first, "back in gptq")
        #expect(!FileManager.default.fileExists(atPath: path("back") + "/cleave"))

        let inspected = try CleaveProcess.run(["inspect", path("v2")])
        #expect(inspected.output.contains("56 linears: gptq_v2 4 bits g64 asymmetric"), "\(inspected.output)")
        func perplexity(_ name: String) throws -> String {
            try CleaveProcess.run(["eval", path(name), "--data", "Demo/evaluation.txt", "--length", "64", "--sequences", "2"], ranks: 2).output
        }
        #expect(try perplexity("v2") == perplexity("gptq"))
    }

    /// Scales of bf16 are numbers of half precision too, where they are not too small; not the other way round.
    @Test func betweenTheScalesOfTwoTypes() throws {
        let directory = try TemporaryDirectory()
        func path(_ name: String) -> String { directory.path + "/" + name }
        // One file: a conversion keeps the cut of its source, a compression cuts by the sizes of its own tensors.
        let marlin = ["max_shard_size=1GB", "compress.group=128", "ignore=[lm_head, '*.mlp.*', '*.k_proj', '*.v_proj']"]
        try #require(try SmallRun.compress(path("ct"), Self.settings + marlin, ranks: 2).exitCode == 0)
        for (source, format) in [("ct", "marlin"), ("marlin", "gptq"), ("gptq", "gptq_v2"), ("gptq_v2", "compressed-tensors")] {
            let run = try convert(path(source), format, path(format), ranks: 2)
            try #require(run.exitCode == 0, "\(source) to \(format): \(run.errors)")
        }
        try SmallRun.expectEqual(path("compressed-tensors"), try SmallRun.files(path("ct")), "back in compressed-tensors")
        try #require(try convert(path("marlin"), "dense", path("dense"), ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(path("rounded"), Self.settings + marlin + ["format=dense"], ranks: 2).exitCode == 0)
        try SmallRun.expectEqual(
            path("dense"), try SmallRun.files(path("rounded")).filter { $0.key != "cleave_manifest.json" }, "dense", butFor: "cleave_manifest.json")

        try #require(try SmallRun.compress(path("halves"), Self.settings + ["format=gptq_v2"], ranks: 2).exitCode == 0)
        let refused = try convert(path("halves"), "compressed-tensors", path("refused"), ranks: 2)
        #expect(refused.exitCode == 65 && refused.errors.contains("is no bf16 number") && refused.output.isEmpty, "\(refused.errors)")
        let occupied = try convert(path("halves"), "gptq", path("marlin"), ranks: 2)
        #expect(occupied.exitCode == 73 && occupied.errors.contains("give another output directory"))
        let other = try convert(path("halves"), "marlin", path("no"), ranks: 2)
        #expect(other.exitCode == 65 && other.errors.components(separatedBy: "not of 64").count == 2)
        #expect(!FileManager.default.fileExists(atPath: path("refused") + "/config.json") && !FileManager.default.fileExists(atPath: path("no")))
    }
}
