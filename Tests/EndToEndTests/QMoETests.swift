// Ternary experts in codewords: the same bytes on any ranks and after a kill, and what the format cannot carry.

import Foundation
import Testing

@Suite(.serialized) struct QMoETests {
    static let settings = [
        "format=qmoe", "compress={bits: ternary, damping: 0.1}",
        "rules=[{match: '*.0.*.experts.*'}, {match: '*.experts.*', grid: hessian}]", "max_shard_size=100KB",
    ]

    /// Lengths of tensors follow from the weights, and with them the files in which tensors lie.
    @Test func anyNumberOfRanksAndAKill() throws {
        let model = try WideModel(columns: 96, blocks: 2, family: "qwen2_moe", experts: 4)
        func arguments(_ name: String) -> [String] {
            ["compress", model.recipe, "--output", model.output(name)] + Self.settings.flatMap { ["--set", $0] }
        }
        let first = try CleaveProcess.run(arguments("1"), ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        let reference = try SmallRun.files(model.output("1"))
        #expect(reference.keys.count { $0.hasSuffix(".safetensors") } > 4, "\(reference.keys)")
        for text in ["zeros in ternary linears", "bits of a ternary weight"] { #expect(first.output.contains(text), "\(first.output)") }
        for ranks in [2, 3] {
            let killed = try CleaveProcess(arguments("\(ranks)"), ranks: ranks)
            try SmallRun.wait(for: killed, toCommit: ranks == 2 ? 1 : 8, in: model.output("\(ranks)"))
            killed.ranks.last.map { _ = kill($0, SIGKILL) }
            #expect(try killed.wait().exitCode != 0)
            let run = try CleaveProcess.run(arguments("\(ranks)"), ranks: ranks)
            try #require(run.exitCode == 0, "\(run.errors)")
            try SmallRun.expectEqual(model.output("\(ranks)"), reference, "\(ranks) ranks")
        }
        let inspected = try CleaveProcess.run(["inspect", model.output("1")])
        for text in ["24 linears: qmoe ternary by row", "bits a weight", "24 linears by gptq ternary"] {
            #expect(inspected.output.contains(text), "\(inspected.output) \(inspected.errors)")
        }
        #expect(try CleaveProcess.run(["verify", model.output("1")]).exitCode == 0)
        // A codeword in place of another leads to a row of another length, or of other weights.
        let converted = try CleaveProcess.run(["convert", model.output("1"), "--format", "compressed-tensors", "--output", model.output("other")])
        #expect(converted.exitCode == 65 && converted.errors.contains("use `format: qmoe` or `format: dense`"), "\(converted.errors)")
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
        let mixture = try WideModel(columns: 64, family: "qwen2_moe", experts: 4)
        try expectRefusal(["format=qmoe", "compress={bits: ternary}"], "`format: qmoe` is for mixtures of experts")
        try expectRefusal(["format=qmoe", "compress={bits: 2, group: 32}"], "use `bits: ternary`", model: mixture)
        for format in ["compressed-tensors", "gptq", "marlin"] {
            try expectRefusal(["format=\(format)", "compress={bits: ternary}"], "use `format: qmoe` or `format: dense`", model: mixture)
        }
        try expectRefusal(["format=gguf", "compress={bits: ternary}"], "GGUF has blocks")
        let converted = try CleaveProcess.run(["convert", "Demo/wikillama", "--format", "qmoe", "--output", directory.path + "/out"])
        #expect(converted.exitCode == 65, "\(converted.errors)")
    }
}
