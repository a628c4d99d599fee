// Promise 1: the result has the same bytes for any number of ranks and threads, and any history.

import Foundation
import Testing

@Suite(.serialized) struct SameBytesTests {
    /// Masks over all rows, of several methods and widths in one stage, beside a linear without.
    private static let pruned = [
        "compress={method: sparsegpt, sparsity: 0.5}",
        "rules=[{match: '*.k_proj', method: gptq, bits: 4, group: 64}, {match: '*.v_proj', mask_block: 64}, {match: '*.gate_proj', method: magnitude}, {match: '*.up_proj', method: admm}, {match: '*'}]",
        "format=dense",
    ]

    /// In one block rows in orders of their own, with a threshold over all rows and without, beside a linear that needs no inverse.
    private static let eliminated = [
        "compress={method: exactobs, sparsity: 0.5}",
        "rules=[{match: '*.3.*.k_proj', method: obq, bits: 3, group: 64}, {match: '*.3.*.v_proj', method: gptq, bits: 4, group: 64, act_order: false}, {match: '*.3.*.o_proj', method: obq, bits: 4, group: -1}, {match: '*.3.*.up_proj', sparsity: 2:4}, {match: '*.3.*.q_proj'}, {match: '*.3.*.gate_proj', sparsity_block: 4}, {match: '*', method: rtn, bits: 4, group: 64}]",
        "format=dense",
    ]

    /// Groups whose scales 16 rows share, in both orders of columns that a file can hold, with thresholds over all rows of a linear.
    private static let spqr = ["compress={method: spqr}", "rules=[{match: '*.k_proj', act_order: true, outlier_threshold: 0.05}, {match: '*'}]", "format=spqr"]

    @Test(arguments: [
        [], ["compute=f32"], ["propagation=block", "compress.symmetric=false"], ["compress.act_order=false", "compress.static_groups=false"],
        ["compress.method=rtn", "compress.grid=minmax"], pruned, ["compress={method: sparsegpt, sparsity: 0.6, bits: 4, group: 64}"],
        [
            "compress.target=dense", "compress.stream_strength=0.5",
            "rules=[{match: '*.down_proj', target: layer}, {match: '*.k_proj', act_order: false}, {match: '*'}]",
        ],
        ["compress={method: admm, sparsity: 2:4}"], eliminated, spqr,
    ])
    func anyNumberOfRanksAndThreads(settings: [String]) throws {
        try expectSameBytes(settings, shards: true)
    }

    /// A trained model of 135 M parameters: CLEAVE_LARGER_MODEL names its directory, such as SmolLM2-135M's.
    @Test(
        .enabled(if: ProcessInfo.processInfo.environment["CLEAVE_LARGER_MODEL"] != nil, "CLEAVE_LARGER_MODEL names no model"),
        arguments: [["compute=bf16"], ["compute=f32"]], [["compress.act_order=groups"], ["compress.act_order=false"]])
    func anyNumberOfRanksOnALargerModel(compute: [String], order: [String]) throws {
        let model = try #require(ProcessInfo.processInfo.environment["CLEAVE_LARGER_MODEL"])
        try expectSameBytes(compute + order, flags: ["--model", model], shards: false)
    }

    private func expectSameBytes(_ settings: [String], flags: [String] = [], shards: Bool) throws {
        let directory = try TemporaryDirectory()
        let first = try SmallRun.compress(directory.path + "/1", settings, flags: flags, ranks: 1)
        try #require(first.exitCode == 0, "\(first.errors)")
        let reference = try SmallRun.files(directory.path + "/1")
        #expect(reference.keys.contains("model.safetensors.index.json") || !shards)
        func expectSame(_ what: String, flags more: [String] = [], ranks: Int?, threads: Int = 1, environment: [String] = []) throws {
            let output = directory.path + "/other"
            let run = try SmallRun.compress(output, settings, flags: flags + more, ranks: ranks, threads: threads, environment: environment)
            try #require(run.exitCode == 0, "\(what): \(run.errors)")
            try SmallRun.expectEqual(output, reference, what)
            try FileManager.default.removeItem(atPath: output)
        }
        for ranks in [2, 3, 4, 5, 8] { try expectSame("\(ranks) ranks", ranks: ranks) }
        for ranks in [4, 5] { try expectSame("\(ranks) ranks, 2 a node", ranks: ranks, environment: ["CLEAVE_RANKS_PER_NODE=2"]) }
        try expectSame("4 ranks, 2 of which share each batch", flags: ["--tensor-parallel", "2"], ranks: 4)
        try expectSame("3 threads, pread", flags: ["--weights", "pread"], ranks: nil, threads: 3)
        try expectSame("16 threads", ranks: nil, threads: 16)
        try expectSame("2 ranks x 2 threads, activations in a scratch file", flags: ["--activations", "scratch"], ranks: 2, threads: 2)
    }

    @Test func mergeByItselfAndRunningAgain() throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", parts = directory.path + "/parts"
        try #require(try SmallRun.compress(whole, ranks: 2).exitCode == 0)
        let unmerged = try SmallRun.compress(parts, flags: ["--no-merge"], ranks: 2)
        try #require(unmerged.exitCode == 0, "\(unmerged.errors)")
        #expect(!FileManager.default.fileExists(atPath: parts + "/config.json"))
        let merged = try CleaveProcess.run(["merge", parts], ranks: 3)
        try #require(merged.exitCode == 0, "\(merged.errors)")
        try SmallRun.expectEqual(parts, try SmallRun.files(whole), "merged by itself")
        let again = try SmallRun.compress(whole, ranks: 2)
        #expect(again.exitCode == 0)
        #expect(again.output.contains("nothing to do"))
    }

    /// Of linears whose masks go through all rows, too: some of them lose all tiles here, some only one rank's.
    @Test(arguments: [[], pruned, eliminated, spqr])
    func aRunThatLostTilesSolvesThoseAlone(settings: [String]) throws {
        let directory = try TemporaryDirectory()
        let whole = directory.path + "/whole", broken = directory.path + "/broken"
        try #require(try SmallRun.compress(whole, settings, ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(broken, settings, flags: ["--no-merge"], ranks: 2).exitCode == 0)
        // One partial checkpoint is lost, another damaged: only their tiles are solved again.
        let partial = broken + "/cleave/partial"
        try FileManager.default.removeItem(atPath: partial + "/block-3.attempt-1.rank-1.safetensors")
        let damaged = URL(fileURLWithPath: partial + "/block-5.attempt-1.rank-0.safetensors")
        var bytes = try Data(contentsOf: damaged)
        bytes[bytes.count - 100] ^= 1
        try bytes.write(to: damaged)
        let resumed = try SmallRun.compress(broken, settings, ranks: 3)
        try #require(resumed.exitCode == 0, "\(resumed.errors)")
        #expect(resumed.errors.contains("block-5.attempt-1.rank-0.safetensors"))
        try SmallRun.expectEqual(broken, try SmallRun.files(whole), "resumed")
        let tiles = try SmallRun.tiles(broken)
        #expect(tiles.solved == 32 && tiles.reused == 224)
    }

    @Test func anotherPlanIsRefused() throws {
        let directory = try TemporaryDirectory()
        try #require(try SmallRun.compress(directory.path + "/out", flags: ["--no-merge"], ranks: 2).exitCode == 0)
        let other = try SmallRun.compress(directory.path + "/out", ["compress.bits=8"], ranks: 2)
        #expect(other.exitCode == 65)
        #expect(other.errors.contains("another plan"))
    }
}
