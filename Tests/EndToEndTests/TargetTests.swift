// `target: dense`: refusals, runs that go on, and what it is for: outputs of the result that are nearer to those of the dense model.

import Foundation
import Testing

@Suite(.serialized) struct TargetTests {
    @Test(
        arguments: [
            (["compress.target=dense", "propagation=block"], "`target: dense` needs `propagation: stage`"),
            (["compress.target=dense", "propagation=none"], "`target: dense` needs `propagation: stage`"),
            (["compress={target: dense, method: rtn, grid: minmax}"], "`target: dense` goes with `method: gptq`, not with `method: rtn`"),
            (["compress={target: dense, method: sparsegpt, sparsity: 0.5}"], "not with `method: sparsegpt`"),
            (["compress.target_strength=0.5"], "`target_strength` goes with `target: dense`"),
        ])
    func refusals(settings: [String], message: String) throws {
        let directory = try TemporaryDirectory()
        let run = try SmallRun.compress(directory.path + "/out", settings, ranks: 2)
        #expect(run.exitCode == 65 && run.errors.contains(message), "\(run.errors)")
    }

    @Test func mixturesAreRefused() throws {
        let model = try WideModel(columns: 64, family: "qwen2_moe")
        let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("out"), "--set", "compress.target=dense"], ranks: 2)
        #expect(run.exitCode == 65 && run.errors.contains("`target: dense` is not there for mixtures of experts"), "\(run.errors)")
    }

    /// A run that was stopped goes on, on another number of ranks, with the dense model's activations made again.
    @Test func goesOn() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", parts = directory.path + "/parts", settings = ["compress.target=dense"]
        try #require(try SmallRun.compress(whole, settings, ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(whole)
        var stops = 0
        for ranks in [2, 3, 1, 4] {
            let stopped = try SmallRun.compress(parts, settings, flags: ["--max-hours", "0.00001"], ranks: ranks)
            guard stopped.exitCode == 75 else { break }
            stops += 1
        }
        #expect(stops == 4)
        // Another strength is another plan.
        let refused = try SmallRun.compress(parts, settings + ["compress.target_strength=0.25"], ranks: 2)
        #expect(refused.exitCode == 65 && refused.errors.contains("targetStrength was 1, is 0.25 for "), "\(refused.errors)")
        let committed = try SmallRun.committedTiles(parts)
        try #require(try SmallRun.compress(parts, settings, ranks: 3).exitCode == 0)
        #expect(try SmallRun.tiles(parts).reused == committed && committed > 0)
        try SmallRun.expectEqual(parts, reference, "after \(stops) stops")
    }

    /// With strength 0 the weights begin as they are.
    @Test func strengthZeroIsTheLayersOwnTarget() throws {
        let directory = try TemporaryDirectory()
        let own = directory.path + "/own", none = directory.path + "/none"
        try #require(try SmallRun.compress(own, ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(none, ["compress.target=dense", "compress.target_strength=0"], ranks: 2).exitCode == 0)
        func weights(_ path: String) throws -> [String: Data] { try SmallRun.files(path).filter { $0.key.hasSuffix(".safetensors") } }
        #expect(try weights(own) == weights(none))
    }
}
