// Results in types of numbers with rules of their own: the same bytes on any ranks, sound, read again.

import Foundation
import Testing

@Suite(.serialized) struct NumberTypeTests {
    /// All types and strategies, each solved by GPTQ and rounded to nearest somewhere, some by the same stage as integers are.
    static let mixtures: [[String]] = [
        [
            "compress={type: fp8}",
            "rules=[{match: '*.o_proj', strategy: tensor}, {match: '*.0.mlp.*', type: mxfp8}, {match: '*.mlp.down_proj', type: mxfp4}, {match: '*.mlp.*', type: nvfp4}, {match: '*'}]",
        ],
        [
            "compress={type: fp8, strategy: block, method: rtn}",
            "rules=[{match: '*.down_proj', type: int8, method: gptq}, {match: '*.0.mlp.*', method: gptq}, {match: '*.o_proj', type: int, bits: 4, group: 64}, {match: '*.1.mlp.*', type: nvfp4}, {match: '*'}]",
        ],
    ]

    @Test(arguments: mixtures)
    func anyNumberOfRanks(settings: [String]) throws {
        let directory = try TemporaryDirectory()
        try SmallRun.expectSameOnRanks(directory, settings)
        let report = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: directory.path + "/1/cleave/report.json"))) as? [String: Any]
        let types = Set((report?["linears"] as? [[String: Any]] ?? []).compactMap { $0["type"] as? String })
        #expect(types.isSuperset(of: ["fp8", "nvfp4"]) && types.count >= 3, "\(types)")
        let dense = try CleaveProcess.run(["convert", directory.path + "/1", "--format", "dense", "--output", directory.path + "/dense"])
        #expect(dense.exitCode == 0, "\(dense.errors)")
        let inspected = try CleaveProcess.run(["inspect", directory.path + "/1"])
        #expect(inspected.exitCode == 0, "\(inspected.errors)")
        for format in ["float-quantized", "nvfp4-pack-quantized"] { #expect(inspected.output.contains(format), "\(inspected.output)") }
    }

    /// Tiles that are lost are solved again with the scales of their whole tensor.
    @Test func lostTilesHaveTheirTensorsScale() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", broken = directory.path + "/broken", settings = Self.mixtures[0]
        try #require(try SmallRun.compress(whole, settings, ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(broken, settings, flags: ["--no-merge"], ranks: 2).exitCode == 0)
        try FileManager.default.removeItem(atPath: broken + "/cleave/partial/block-3.attempt-1.rank-1.safetensors")
        let resumed = try SmallRun.compress(broken, settings, ranks: 3)
        try #require(resumed.exitCode == 0, "\(resumed.errors)")
        try SmallRun.expectEqual(broken, try SmallRun.files(whole), "resumed")
    }

    @Test func partsOfAFusedLinearHaveOneType() throws {
        let directory = try TemporaryDirectory()
        let settings = ["compress={type: fp8}", "rules=[{match: '*.k_proj', type: int8}, {match: '*'}]"]
        let run = try SmallRun.compress(directory.path + "/out", settings, ranks: nil)
        #expect(run.exitCode == 65 && run.errors.contains("would be stored in two ways"), "\(run.errors)")
        let format = try SmallRun.compress(directory.path + "/out", ["compress={type: fp8}", "format=gptq"], ranks: nil)
        #expect(format.exitCode == 65 && format.errors.contains("none of `type: fp8`"), "\(format.errors)")
    }

    @Test func plansSayHowNumbersAreStored() throws {
        let directory = try TemporaryDirectory()
        let changes = ["compress={type: nvfp4}", "rules=[{match: '*.self_attn.*', type: fp8, strategy: block}, {match: '*'}]"]
        let plan = try CleaveProcess.run(
            ["plan", "Configs/demo.yaml", "--output", directory.path + "/out", "--linears"] + changes.flatMap { ["--set", $0] })
        #expect(plan.exitCode == 0, "\(plan.errors)")
        #expect(plan.output.contains("fp8 by block for 32 linears, stored as float-quantized; weights times activations that clients round to fp8"))
        #expect(plan.output.contains("nvfp4 for 24 linears, stored as nvfp4-pack-quantized; weights times activations as they are"))
        #expect(plan.output.contains("128 x 128"))
    }
}
