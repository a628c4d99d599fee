// Results in GGUF: the same bytes on any ranks and after lost tiles, sound, read again.

import Foundation
import Testing

@Suite(.serialized) struct GGUFTests {
    /// Blocks of several types, in several orders, in several files; some linears keep their weights.
    static let settings = [
        "format=gguf", "max_shard_size=1MB", "compress={type: q4_k}",
        "rules=[{match: '*.v_proj', type: q6_k}, {match: '*.0.mlp.*', type: q3_k, act_order: false}, {match: '*.1.*', type: q8_0, method: rtn}, "
            + "{match: '*.2.*', type: q5_1, static_groups: true, act_order: true}, {match: '*'}]", "ignore=[lm_head, '*.3.self_attn.q_proj']",
    ]

    @Test func anyNumberOfRanksAndLostTiles() throws {
        let directory = try TemporaryDirectory()
        let first = try SmallRun.compress(directory.path + "/1", Self.settings, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        let reference = try SmallRun.files(directory.path + "/1")
        #expect(reference.keys.contains("model-00001-of-00006.gguf"), "\(reference.keys)")
        for ranks in [2, 3] {
            let output = directory.path + "/\(ranks)"
            let run = try SmallRun.compress(output, Self.settings, flags: ranks == 2 ? ["--no-merge"] : [], ranks: ranks)
            try #require(run.exitCode == 0, "\(run.errors)")
            if ranks == 2 {
                try FileManager.default.removeItem(atPath: output + "/cleave/partial/block-2.attempt-1.rank-1.safetensors")
                let resumed = try SmallRun.compress(output, Self.settings, ranks: 3)
                try #require(resumed.exitCode == 0, "\(resumed.errors)")
            }
            try SmallRun.expectEqual(output, reference, "\(ranks) ranks")
        }
    }

    @Test func aResultIsCheckedShownAndEvaluated() throws {
        let directory = try TemporaryDirectory(), output = directory.path + "/out"
        let run = try SmallRun.compress(output, Self.settings, ranks: nil)
        try #require(run.exitCode == 0, "\(run.errors)")
        let verified = try CleaveProcess.run(["verify", output])
        #expect(verified.exitCode == 0 && verified.output.contains("is sound: 75 tensors"), "\(verified.errors)")
        let inspected = try CleaveProcess.run(["inspect", output, "--tensors"])
        for text in ["gguf, 75 tensors", "rtn q8_0", "gptq q6_k", "blk.0.ffn_gate.weight"] { #expect(inspected.output.contains(text), "\(inspected.output)") }
        let file = try CleaveProcess.run(["inspect", output + "/model-00001-of-00006.gguf"])
        #expect(file.exitCode == 0 && file.output.contains("gguf"), "\(file.errors)")
        // What a dense copy computes is what the blocks do, but for the rounding of its numbers to BF16.
        let dense = try CleaveProcess.run(["convert", output, "--format", "dense", "--output", directory.path + "/dense"])
        try #require(dense.exitCode == 0, "\(dense.errors)")
        var perplexities: [Double] = []
        for path in [output, directory.path + "/dense"] {
            let evaluated = try CleaveProcess.run(["eval", path, "--data", "Demo/evaluation.txt", "--length", "128", "--sequences", "4", "--json"])
            let report = try JSONSerialization.jsonObject(with: Data(evaluated.output.utf8)) as? [String: Any]
            perplexities.append(try #require(report?["perplexity"] as? Double, "\(evaluated.errors)"))
        }
        #expect(abs(perplexities[0] / perplexities[1] - 1) < 0.002, "\(perplexities)")
        // A part that was cut off, and one that is gone.
        let last = output + "/model-00006-of-00006.gguf", whole = try Data(contentsOf: URL(fileURLWithPath: last))
        try whole.prefix(whole.count / 2).write(to: URL(fileURLWithPath: last))
        let cut = try CleaveProcess.run(["eval", output, "--data", "Demo/evaluation.txt", "--length", "128"])
        #expect(cut.exitCode == 65 && cut.errors.contains("cut off"), "\(cut.errors)")
        try FileManager.default.removeItem(atPath: last)
        let gone = try CleaveProcess.run(["eval", output, "--data", "Demo/evaluation.txt", "--length", "128"])
        #expect(gone.exitCode == 65 && gone.errors.contains("one of 6 parts"), "\(gone.errors)")
        #expect(try CleaveProcess.run(["verify", output]).exitCode != 0)
    }

    @Test func whatLlamaCppHasNoNameForIsRefusedFirst() throws {
        let directory = try TemporaryDirectory(), output = directory.path + "/out"
        let shape = directory.path + "/config.json"
        try #"{"model_type": "gpt2", "vocab_size": 256, "n_positions": 4096, "n_embd": 64, "n_layer": 2, "n_head": 2}"#.write(
            toFile: shape, atomically: true, encoding: .utf8)
        let other = try CleaveProcess.run(["plan", "Configs/gguf-q4-k-m.yaml", "--shape", shape, "--output", output, "--set", "rules=null"])
        let families = "for models of the types deepseek_v2, deepseek_v3, gemma2, gemma3_text, llama, mistral, "
        #expect(other.exitCode == 65 && other.errors.contains(families), "\(other.errors)")
        let plan = try CleaveProcess.run(
            [
                "plan", "Configs/gguf-q4-k-m.yaml", "--model", "Demo/wikillama", "--output", output, "--set", "calibration.source=Demo/calibration.txt",
                "--set", "calibration.sequences=8", "--linears",
            ])
        #expect(plan.exitCode == 0, "\(plan.errors)")
        #expect(plan.output.contains("q5_0 in place of q4_k for 3 linears"), "\(plan.output)")
    }
}
