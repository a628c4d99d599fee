// Outliers and scales of few bits: the same bytes after a kill, what verbs say of the result, and what the format cannot carry.

import Foundation
import Testing

@Suite(.serialized) struct SpQRTests {
    static let settings = ["format=spqr", "compress={method: spqr}", "max_shard_size=1MB"]

    /// Lengths of tensors follow from the weights, and with them the files in which tensors lie.
    @Test func aKillAndVerbs() throws {
        let directory = try TemporaryDirectory(), whole = directory.path + "/whole", killed = directory.path + "/killed"
        let first = try SmallRun.compress(whole, Self.settings, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        for text in ["outliers in linears of SpQR", "average bits as SpQR counts them"] { #expect(first.output.contains(text), "\(first.output)") }
        let reference = try SmallRun.files(whole)
        #expect(reference.keys.count { $0.hasSuffix(".safetensors") } > 1, "\(reference.keys)")
        let run = try CleaveProcess(SmallRun.arguments(killed, Self.settings), ranks: 3)
        try SmallRun.wait(for: run, toCommit: 3, in: killed)
        run.ranks.last.map { _ = kill($0, SIGKILL) }
        #expect(try run.wait().exitCode != 0)
        let resumed = try SmallRun.compress(killed, Self.settings, ranks: 2)
        try #require(resumed.exitCode == 0, "\(resumed.errors)")
        try SmallRun.expectEqual(killed, reference, "after a kill")
        let inspected = try CleaveProcess.run(["inspect", whole])
        for text in ["spqr 3 bits g16 asymmetric", "bits a weight"] { #expect(inspected.output.contains(text), "\(inspected.output) \(inspected.errors)") }
        #expect(try CleaveProcess.run(["verify", whole]).exitCode == 0)
        for format in ["compressed-tensors", "gptq"] {
            let converted = try CleaveProcess.run(["convert", whole, "--format", format, "--output", directory.path + "/other"])
            #expect(converted.exitCode == 65 && converted.errors.contains("use `format: spqr` or `format: dense`"), "\(converted.errors)")
        }
        let other = try CleaveProcess.run(["convert", whole, "--format", "spqr", "--output", directory.path + "/other"])
        #expect(other.exitCode == 65 && other.errors.contains("a recipe that says `method: spqr`"), "\(other.errors)")
    }

    @Test func whatItCannotCarryIsSaidFirst() throws {
        let directory = try TemporaryDirectory()
        func expectRefusal(_ settings: [String], _ words: String, model: WideModel? = nil) throws {
            let flags = settings.flatMap { ["--set", $0] }, output = directory.path + "/out"
            let run =
                try model.map { try CleaveProcess.run(["compress", $0.recipe, "--output", output] + flags, ranks: 2) }
                ?? SmallRun.compress(output, settings, ranks: 2)
            #expect(run.exitCode == 65 && run.errors.contains(words), "\(settings): \(run.exitCode) \(run.errors)")
        }
        try expectRefusal(["format=spqr", "compress={method: gptq, bits: 3, group: 16}"], "it has codes of `method: spqr` alone")
        try expectRefusal(["format=spqr", "compress={method: spqr, bits: 4}"], "not 4 in groups of 16")
        try expectRefusal(["format=spqr", "compress={method: spqr, group: 32}"], "not 3 in groups of 32")
        for format in ["compressed-tensors", "gptq", "marlin"] {
            try expectRefusal(["format=\(format)", "compress={method: spqr, act_order: false}"], "use `format: spqr` or `format: dense`")
        }
        let mixture = try WideModel(columns: 64, family: "qwen2_moe", experts: 4)
        try expectRefusal(["format=spqr", "compress={method: spqr}", "rules=[{match: '*.experts.*'}]"], "no client takes experts in it", model: mixture)
        try expectRefusal(["format=spqr", "compress={method: spqr}", "rules=[{match: '*.q_proj'}]"], "have no bias", model: mixture)
        let narrow = try WideModel(columns: 72)
        try expectRefusal(["format=dense", "compress={method: spqr}"], "`method: spqr` has whole groups, but 16 does not divide", model: narrow)
        let converted = try CleaveProcess.run(["convert", "Demo/wikillama", "--format", "spqr", "--output", directory.path + "/out"])
        #expect(converted.exitCode == 65, "\(converted.errors)")
    }
}
