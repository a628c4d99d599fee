// What is taken over from earlier attempts, and what is not.

import Foundation
import Reporting
import Runs
import Safetensors
import Testing
import TinyModels

/// MPI is called by one thread at a time, so all tests of this room run one after the other.
@Suite(.serialized) struct RunsTests {}

extension RunsTests {
    @Suite(.serialized) struct Resume {
        @Test func aFinishedRunIsReusedWhole() throws {
            let model = try TinyModel()
            let first = try model.compress()
            #expect(first.tiles.solved > 0 && first.tiles.reused == 0 && first.resumption == nil)
            let second = try model.compress()
            #expect(second.tiles.solved == 0 && second.tiles.reused == first.tiles.solved)
            #expect(second.resumption?.hasPrefix("resuming: \(first.tiles.solved) of \(first.tiles.solved) tiles are committed (attempt 2)") == true)
        }

        /// Whatever is damaged is solved again, and the result has the bytes of an undisturbed run.
        @Test(arguments: [0, 1, 2, 3, 4])
        func damageIsNoticedAndMended(kind: Int) throws {
            let model = try TinyModel()
            let total = try model.compress().tiles.solved
            let partial = "out/cleave/partial/block-1.attempt-1.rank-0.safetensors"
            let journal = "out/cleave/journal/attempt-1.rank-0.jsonl"
            let text = String(decoding: try model.read(journal), as: UTF8.self)
            switch kind {
            case 0: try model.flip(partial, at: -5)
            case 1: try FileManager.default.removeItem(atPath: model.path + "/" + partial)
            case 2: try model.write(String(text.dropLast(20)), journal)
            case 3: try model.write(text + "{\"entry\":", journal)
            default:
                try model.write(
                    text.replacingOccurrences(of: #""count":1"#, with: #""count":9"#).replacingOccurrences(of: #""block":1"#, with: #""block":0"#), journal)
            }
            let second = try model.compress()
            #expect(second.tiles.solved + second.tiles.reused == total)
            #expect((second.tiles.solved == 0) == (kind == 3) && (second.tiles.reused > 0) == (kind != 4 || second.tiles.reused > 0))
            #expect(second.resumption?.contains(kind < 2 ? "missing, or its size or checksum differs" : "cut off or damaged") == true)
            try model.merge()
            let undisturbed = try TinyModel()
            try undisturbed.finish()
            #expect(try model.read("out/model.safetensors") == undisturbed.read("out/model.safetensors"))
        }

        @Test func everyDamagedDigitOfAJournalIsNoticed() throws {
            let model = try TinyModel()
            try model.compress()
            let journal = "out/cleave/journal/attempt-1.rank-0.jsonl"
            let sound = try model.read(journal)
            let end = try #require(sound.firstIndex(of: UInt8(ascii: "\n")))
            for position in stride(from: 0, to: end, by: 17) {
                try Data(sound).write(to: URL(fileURLWithPath: model.path + "/" + journal))
                try model.flip(journal, at: position)
                #expect(message { try model.merge() }?.contains("tiles are committed") == true, "byte \(position)")
            }
        }

        /// Lines with sound checksums whose numbers no run of this plan writes: a pattern in each entry, and what takes its place.
        @Test(arguments: [
            (#""block":\d+"#, #""block":7"#), (#""block":\d+"#, #""block":-1"#), (#""stage":\d+"#, #""stage":9"#), (#""first":\d+"#, #""first":-1"#),
            (#""first":\d+"#, #""first":9223372036854775807"#), (#""count":\d+"#, #""count":-1"#), (#""count":\d+"#, #""count":4611686018427387904"#),
            (#""tiles":\[(\{[^}]*\})"#, #""tiles":[$1,$1"#), (#""file":""#, #""file":"../"#), (#""linears":\[[^\]]*\]"#, #""linears":[]"#),
        ])
        func linesThatDoNotFitThePlanAreNotUsed(pattern: String, replacement: String) throws {
            let model = try TinyModel()
            let total = try model.compress().tiles.solved
            let journal = "out/cleave/journal/attempt-1.rank-0.jsonl"
            let lines = String(decoding: try model.read(journal), as: UTF8.self).split(separator: "\n").map { line in
                let entry = line.replacingOccurrences(of: #""seal":"[0-9a-f]*","#, with: "", options: .regularExpression)
                    .replacingOccurrences(of: pattern, with: replacement, options: .regularExpression)
                return #"{"seal":"\#(Array(entry.utf8).withUnsafeBytes { Checksum.of($0) })",\#(entry.dropFirst())"#
            }
            try model.write(lines.joined(separator: "\n") + "\n", journal)
            let second = try model.compress()
            #expect(second.tiles.solved == total && second.tiles.reused == 0)
            #expect(second.resumption?.contains("does not fit the plan") == true, "\(second.resumption ?? "")")
        }

        @Test func attemptsBeyondCountingAreNone() throws {
            let model = try TinyModel()
            _ = try model.job().enter()
            try model.write("", "out/cleave/journal/attempt-9223372036854775807.rank-0.jsonl")
            #expect(try model.compress().tiles.solved > 0)
        }

        @Test func anotherPlansWorkIsRefused() throws {
            let model = try TinyModel()
            try model.compress()
            #expect(message { try model.compress(["compress.bits=8"]) }?.contains("unfinished run of another plan") == true)
        }

        @Test func mergingNeedsEveryTile() throws {
            let model = try TinyModel()
            _ = try model.job().enter()
            #expect(message { try model.merge() }?.contains("0 of") == true)
        }
    }
}
