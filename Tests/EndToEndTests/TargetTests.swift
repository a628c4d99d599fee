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
            (["compress.stream_strength=0.5"], "`stream_strength` goes with `target: dense`"),
            (["compress={target: dense, stream_strength: 2}"], "`compress.stream_strength` must be a number from 0"),
            (
                ["compress.target=dense", "rules=[{match: '*.q_proj', stream_strength: 1}, {match: '*'}]"],
                "`stream_strength` acts on linears whose outputs are added to the residual stream at once"
            ),
        ])
    func refusals(settings: [String], message: String) throws {
        let directory = try TemporaryDirectory()
        let run = try SmallRun.compress(directory.path + "/out", settings, ranks: 2)
        #expect(run.exitCode == 65 && run.errors.contains(message), "\(run.errors)")
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

    /// What the stream lost before attention's output and down is made up for: another result, the same on any ranks, in groups, under a limit and after a stop.
    @Test func theStreamHasTheSameBytes() throws {
        // Three panels of the stream, and five of the inputs of down.
        let model = try WideModel(columns: 1152, hidden: 640, blocks: 2)
        let dense = ["--set", "compress.target=dense"], settings = dense + ["--set", "compress.stream_strength=0.75"]
        func compress(_ name: String, _ flags: [String], ranks: Int?, threads: Int = 1) throws -> [String: Data] {
            let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output(name)] + flags, ranks: ranks, threads: threads)
            try #require(run.exitCode == 0, "\(name): \(run.errors)")
            defer { try? FileManager.default.removeItem(atPath: model.output(name)) }
            return try SmallRun.files(model.output(name))
        }
        let reference = try compress("1", settings, ranks: nil)
        #expect(try compress("dense", dense, ranks: 2)["model.safetensors"] != reference["model.safetensors"])
        for ranks in 2...4 { #expect(try compress("\(ranks)", settings, ranks: ranks) == reference, "\(ranks) ranks") }
        for (ranks, size) in [(2, 2), (4, 2), (3, 3)] {
            #expect(try compress("groups", settings + ["--tensor-parallel", "\(size)"], ranks: ranks) == reference, "\(ranks) ranks, \(size) of which share")
        }
        #expect(try compress("scratch", settings + ["--activations", "scratch"], ranks: 2, threads: 2) == reference, "a scratch file")
        let stopped = try CleaveProcess.run(["compress", model.recipe, "--output", model.output("parts"), "--max-hours", "0.00001"] + settings, ranks: 2)
        #expect(stopped.exitCode == 75, "\(stopped.errors)")
        #expect(try compress("parts", settings, ranks: 3) == reference, "after a stop")
    }

    /// The rows of a map that a limit leaves no room for at once are summed some panels at a time, to the same bytes and below the bound.
    @Test func theStreamInPanelsHasTheSameBytes() throws {
        // The stream alone, so that its map is what does not fit.
        let model = try WideModel(columns: 1024, hidden: 2048)
        let settings = [
            "compress.target=dense", "compress.target_strength=0", "compress.stream_strength=1", "ignore=['*.q_proj', '*.k_proj', '*.gate_proj', '*.up_proj']",
        ].flatMap { ["--set", $0] }
        struct Report: Decodable {
            struct Memory: Decodable {
                var boundBytes: Int
                var phases: [String: Int]
            }
            struct Rank: Decodable { var peakMemoryBytes: Int }
            var memory: Memory
            var ranks: [Rank]
        }
        func compress(_ name: String, _ flags: [String], ranks: Int) throws -> Report {
            let run = try CleaveProcess.run(["compress", model.recipe, "--output", model.output(name)] + settings + flags, ranks: ranks)
            try #require(run.exitCode == 0, "\(name): \(run.errors)")
            return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: model.output(name) + "/cleave/report.json")))
        }
        let free = try compress("free", [], ranks: 1)
        for ranks in [1, 2, 3] {
            let limit = try model.sufficientLimit(settings, ranks: ranks)
            let held = try compress("held", ["--memory-per-rank", "\(limit)"], ranks: ranks)
            let saved = try #require(free.memory.phases["mismatch"]) - #require(held.memory.phases["mismatch"])
            // On one rank activations in a file and R in panels save less than 30 MiB: the rest is of the sum, which takes 32 MiB as a whole.
            #expect(saved > (ranks == 1 ? 32 << 20 : 0), "\(ranks) ranks: \(saved) bytes")
            let peaks = held.ranks.map(\.peakMemoryBytes)
            #expect(peaks.allSatisfy { $0 <= held.memory.boundBytes }, "\(peaks) above \(held.memory.boundBytes)")
            try SmallRun.expectEqual(model.output("held"), try SmallRun.files(model.output("free")), "\(ranks) ranks in \(limit) bytes")
            try FileManager.default.removeItem(atPath: model.output("held"))
        }
    }
}
