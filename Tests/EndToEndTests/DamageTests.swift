// Damage to what a run keeps between attempts: found by checksum, named, and only the damaged shard is solved again.

import Foundation
import Testing

@Suite(.serialized) struct DamageTests {
    enum Kind: CaseIterable { case flip, truncate }

    /// Flips bytes and cuts ends of partial checkpoints and journals, at places spread over each file.
    @Test(arguments: Kind.allCases)
    func partialCheckpointsAndJournals(kind: Kind) throws {
        let directory = try TemporaryDirectory()
        let (whole, parts) = (directory.path + "/whole", directory.path + "/parts")
        try #require(try SmallRun.compress(whole, ranks: 2).exitCode == 0)
        try #require(try SmallRun.compress(parts, flags: ["--no-merge"], ranks: 2).exitCode == 0)
        let reference = try SmallRun.files(whole)
        let partial = "cleave/partial/block-3.attempt-1.rank-1.safetensors", journal = "cleave/journal/attempt-1.rank-0.jsonl"
        for (file, places) in [(partial, [0, 9, 300, -4000, -1]), (journal, [1, 150, 2000, -2])] {
            for place in places {
                let output = directory.path + "/damaged"
                try FileManager.default.copyItem(atPath: parts, toPath: output)
                defer { try? FileManager.default.removeItem(atPath: output) }
                try damage(output + "/" + file, at: place, kind)
                // Without reading it, a partial checkpoint's size is all that is known of it.
                if file == partial { try expectStatus(output, committed: kind == .truncate ? 240 : 256) }
                let run = try SmallRun.compress(output, ranks: 3)
                #expect(run.exitCode == 0, "\(run.errors)")
                let name = (file as NSString).lastPathComponent
                #expect(run.errors.contains("not used: \(name)"), "\(kind) \(file) at \(place): \(run.errors)")
                let tiles = try SmallRun.tiles(output)
                // Two ranks wrote 8 blocks of 32 tiles each: a partial checkpoint holds 16 of 256 tiles, and so does a line of a journal.
                let lost = kind == .truncate && file == journal ? 1...8 : 1...1
                #expect(lost.contains(tiles.solved / 16) && tiles.solved % 16 == 0, "\(kind) \(file) at \(place): \(tiles)")
                try SmallRun.expectEqual(output, reference, "\(kind) \(file) at \(place)")
            }
        }
    }

    private func expectStatus(_ output: String, committed: Int) throws {
        let run = try CleaveProcess.run(["status", output, "--json"])
        let status = try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.errors)")
        #expect(status["tiles"] as? [String: Int] == ["done": committed, "total": 256], "\(status)")
        #expect(status["state"] as? String == (committed == 256 ? "committed" : "interrupted"), "\(status)")
    }

    private func damage(_ path: String, at place: Int, _ kind: Kind) throws {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let position = place < 0 ? bytes.count + place : place
        switch kind {
        case .flip: bytes[position] ^= 0x10
        case .truncate: bytes = bytes[..<position]
        }
        try bytes.write(to: URL(fileURLWithPath: path))
    }

    /// What a run was made from must not change under it.
    @Test func theSourceChangesBetweenAttempts() throws {
        let directory = try TemporaryDirectory()
        let (model, output) = (directory.path + "/model", directory.path + "/out")
        try FileManager.default.copyItem(atPath: CleaveProcess.root + "/Demo/wikillama", toPath: model)
        let flags = ["--no-merge", "--model", model]
        try #require(try SmallRun.compress(output, flags: flags, ranks: 2).exitCode == 0)
        try damage(model + "/model.safetensors", at: -1000, .flip)
        let refused = try SmallRun.compress(output, flags: flags, ranks: 2)
        #expect(refused.exitCode == 65)
        #expect(refused.errors.components(separatedBy: "model.safetensors has other bytes").count == 2, "\(refused.errors)")
        let merge = try CleaveProcess.run(["merge", output], ranks: 2)
        #expect(merge.exitCode == 65 && merge.errors.contains("model.safetensors has other bytes"), "\(merge.errors)")
    }
}
