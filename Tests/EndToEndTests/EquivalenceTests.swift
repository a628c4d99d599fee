// Changed weights: the same bytes whoever reads them, and the changed dense model is what is compressed.

import Foundation
import Testing

@Suite(.serialized) struct EquivalenceTests {
    private static let rotated = ["rotate={block: 64}", "ignore=[lm_head, '*.layers.0.*', '*.k_proj']"]
    private static let scaled = ["equalize=true", rotated[1]]

    @Test(arguments: [
        (rotated, ["rotated in blocks of 64, with the values of all heads"]),
        (scaled, ["columns of linears are scaled to one size: those behind 32 norms, values and gated outputs"]),
        (rotated + scaled, ["rotated in blocks of 64", "those behind 16 norms, values and gated outputs"]),
    ])
    func anyNumberOfRanks(settings: [String], notes: [String]) throws {
        let directory = try TemporaryDirectory()
        let first = try SmallRun.compress(directory.path + "/1", settings, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        for note in notes { #expect(first.errors.contains(note), "\(first.errors)") }
        let reference = try SmallRun.files(directory.path + "/1")
        for (flags, ranks, threads) in [([], 2, 1), (["--weights", "broadcast"], 3, 2), (["--weights", "pread", "--tensor-parallel", "2"], 4, 1)] {
            let run = try SmallRun.compress(directory.path + "/other", settings, flags: flags, ranks: ranks, threads: threads)
            try #require(run.exitCode == 0, "\(run.errors)")
            try SmallRun.expectEqual(directory.path + "/other", reference, "\(flags) on \(ranks) ranks")
            try FileManager.default.removeItem(atPath: directory.path + "/other")
        }
    }

    /// The result of a merge by itself, whose recipe is that of the unfinished run; another rotation is another plan.
    @Test func goesOn() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", parts = directory.path + "/parts"
        try #require(try SmallRun.compress(whole, Self.rotated, ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(parts, Self.rotated, flags: ["--no-merge"], ranks: 2).exitCode == 0)
        for other in [[], ["rotate={block: 32}"], ["rotate={block: 64, heads: false}"]] {
            let refused = try SmallRun.compress(parts, Array(Self.rotated.dropFirst()) + other, flags: ["--no-merge"], ranks: 2)
            #expect(refused.exitCode == 65 && refused.errors.contains("rotate: was blocks of 64, values of heads in 8 layers, is "), "\(refused.errors)")
        }
        let scaled = try SmallRun.compress(parts, Self.rotated + ["equalize=true"], flags: ["--no-merge"], ranks: 2)
        #expect(scaled.exitCode == 65 && scaled.errors.contains("equalize: was nothing, is 16 groups of channels"), "\(scaled.errors)")
        let merged = try CleaveProcess.run(["merge", parts], ranks: 3)
        try #require(merged.exitCode == 0, "\(merged.errors)")
        try SmallRun.expectEqual(parts, try SmallRun.files(whole), "merged by itself")
    }

    /// Channels are measured by whatever reads weights: a run, or a merge by itself; a run that is done measures nothing.
    @Test func channelsAreMeasuredWhereWeightsAreRead() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", parts = directory.path + "/parts", measured = "channels     "
        let run = try SmallRun.compress(whole, Self.scaled, ranks: 2)
        try #require(run.exitCode == 0 && run.errors.contains(measured), "\(run.errors)")
        let again = try SmallRun.compress(whole, Self.scaled, ranks: 2)
        #expect(again.exitCode == 0 && !again.errors.contains(measured) && again.output.contains("is finished already"), "\(again.errors)")
        try #require(try SmallRun.compress(parts, Self.scaled, flags: ["--no-merge"], ranks: 1).exitCode == 0)
        try #require(try CleaveProcess.run(["merge", parts], ranks: 3).exitCode == 0)
        try SmallRun.expectEqual(parts, try SmallRun.files(whole), "merged by itself")
    }

    /// What keeps its weights in a result has those of the changed model that `convert` writes, and whose perplexity is the source's.
    @Test(arguments: [
        (["--rotate", "64"], ["rotate={block: 64}"], "rotated Demo/wikillama in blocks of 64"),
        (["--equalize"], ["equalize=true"], "scaled 32 groups of channels of Demo/wikillama"),
        (
            ["--rotate", "64", "--equalize"], ["rotate={block: 64}", "equalize=true"], "rotated Demo/wikillama in blocks of 64 and scaled 16 groups of channels"
        ),
    ])
    func theChangedModelItself(flags: [String], settings: [String], done: String) throws {
        let directory = try TemporaryDirectory()
        func path(_ name: String) -> String { directory.path + "/" + name }
        for ranks in [1, 3] {
            let arguments = ["convert", "Demo/wikillama", "--format", "dense"] + flags + ["--output", path("changed-\(ranks)")]
            let run = try CleaveProcess.run(arguments, ranks: ranks)
            try #require(run.exitCode == 0 && run.output.contains(done), "\(run.errors) \(run.output)")
        }
        try SmallRun.expectEqual(path("changed-3"), try SmallRun.files(path("changed-1")), "on 3 ranks")
        func perplexity(_ model: String) throws -> Double {
            let run = try CleaveProcess.run(["eval", model, "--data", "Demo/evaluation.txt", "--length", "128", "--sequences", "8", "--json"], ranks: 2)
            let result = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
            return try #require(result?["perplexity"] as? Double)
        }
        let source = try perplexity("Demo/wikillama")
        #expect(abs(try perplexity(path("changed-1")) / source - 1) < 1e-3)
        // Compressing the changed model gives the codes that changing on the way gives.
        let plain = ["compress.method=rtn", "compress.grid=minmax", "calibration=null", "ignore=[lm_head]"]
        try #require(try SmallRun.compress(path("two-steps"), plain, flags: ["--model", path("changed-1")], ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(path("one-step"), plain + settings, ranks: 2).exitCode == 0)
        try SmallRun.expectEqual(
            path("one-step"), try SmallRun.files(path("two-steps")).filter { $0.key != "cleave_manifest.json" }, "in two steps", butFor: "cleave_manifest.json")
        let coded = try CleaveProcess.run(["convert", path("one-step"), "--format", "gptq"] + flags + ["--output", path("coded")], ranks: 2)
        #expect(coded.exitCode == 65 && coded.errors.contains("--format dense"), "\(coded.errors)")
    }
}
