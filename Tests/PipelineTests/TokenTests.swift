// From files of text and ids to sequences.

import Foundation
import Pipeline
import Recipes
import Safetensors
import Testing

extension PipelineTests {
    @Suite(.serialized) struct Tokens {
        private let folder: TinyModel
        private let tokenizer = root + "/Demo/wikillama/tokenizer.json"

        init() throws {
            folder = try TinyModel()
        }

        private func load(_ source: String, _ settings: String = "", vocabulary: Int = 4096) throws -> [[Int32]] {
            let recipe = try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: '\(source)'\(settings)}", file: "r")
            return try TokenSequences.load(try #require(recipe.calibration), tokenizer: tokenizer, vocabularySize: vocabulary).sequences
        }

        @Test func idsComeInOrder() throws {
            let ids = (0..<800).map { Int32(($0 * $0 + 7 * $0) % 50) }
            let found = try load(folder.path + "/ids.npy", ", sequences: 3, length: 10, skip: 2", vocabulary: 50)
            #expect(found == [Array(ids[20..<30]), Array(ids[30..<40]), Array(ids[40..<50])])
            for (type, name) in [(ElementType.i32, "a.safetensors"), (.i64, "b.safetensors")] {
                let writer = try SafetensorsWriter(path: folder.path + "/" + name, tensors: [TensorDescription(name: "ids", type: type, shape: [800])])
                let bytes = type == .i32 ? ids.withUnsafeBytes { Array($0) } : ids.map(Int64.init).withUnsafeBytes { Array($0) }
                try bytes.withUnsafeBytes { try writer.append($0, to: "ids") }
                _ = try writer.finish()
                #expect(try load(folder.path + "/" + name, ", sequences: 3, length: 10, skip: 2", vocabulary: 50) == found)
            }
        }

        @Test func samplesDependOnTheSeedAloneAndDoNotOverlap() throws {
            let settings = ", sampling: random, sequences: 20, length: 16, seed: "
            let path = folder.path + "/ascending.npy"
            _ = try NumpyArray.write((0..<1000).map { Int32($0) }, to: path)
            let first = try load(path, settings + "1")
            #expect(try load(path, settings + "1") == first)
            #expect(try load(path, settings + "2") != first)
            #expect(Set(first.flatMap { $0 }).count == 320)
            #expect(first.allSatisfy { $0 == Array($0[0]..<$0[0] + 16) && $0[0] % 16 == 0 })
            // All sequences there are, in another order.
            #expect(try load(path, ", sampling: random, sequences: 62, length: 16").flatMap { $0 }.sorted() == (0..<992).map { Int32($0) })
        }

        @Test func textsAndRecordsGiveTheSameIds() throws {
            try folder.write("One sentence of text. Another one.", "a.txt")
            try folder.write("{\"text\": \"One sentence of text. Another one.\", \"more\": 1}\r\n\n  \n", "a.jsonl")
            let settings = ", sequences: 2, length: 3, sampling: consecutive"
            let found = try load(folder.path + "/a.txt", settings)
            #expect(found.count == 2 && found.allSatisfy { $0.count == 3 && $0.allSatisfy { $0 >= 0 && $0 < 4096 } })
            #expect(try load(folder.path + "/a.jsonl", settings) == found)
        }

        @Test func windowsLeaveOutTheRest() throws {
            let all = try TokenSequences.windows(source: folder.path + "/ids.npy", length: 300, count: nil, tokenizer: "", vocabularySize: 50)
            #expect(all.sequences.map(\.count) == [300, 300])
            let one = try TokenSequences.windows(source: folder.path + "/ids.npy", length: 300, count: 1, tokenizer: "", vocabularySize: 50)
            #expect(one.sequences == [all.sequences[0]] && one.hash != all.hash)
        }

        @Test func refusals() throws {
            try folder.write("", "empty.txt")
            try Data([0x61, 0xff, 0x62]).write(to: URL(fileURLWithPath: folder.path + "/latin.txt"))
            try folder.write("{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", "bad.jsonl")
            try folder.write("\n\n", "empty.jsonl")
            _ = try NumpyArray.write([1, -1, 2], to: folder.path + "/negative.npy")
            let cases = [
                ("ids.npy", ", sequences: 90, length: 10", "800 tokens, enough for 80 sequences of 10; 90 are asked for"),
                ("ids.npy", ", sequences: 16777216, length: 16777216, skip: 16777216", "are asked for"),
                ("ids.npy", ", sequences: 1, length: 10", "outside the model's vocabulary of 20"),
                ("negative.npy", ", sequences: 1, length: 2", "id -1 at position 1"), ("missing.txt", "", "no such file"), ("empty.txt", "", "is empty"),
                ("latin.txt", "", "not valid UTF-8"), ("bad.jsonl", "", "record 2 is not a JSON object"), ("empty.jsonl", "", "holds no text"),
                ("model", "", "is a directory"), ("model/model.safetensors", "", "expected one tensor"),
            ]
            for (name, settings, part) in cases {
                let vocabulary = part.contains("of 20") ? 20 : 50
                let found = message { _ = try load(folder.path + "/" + name, settings, vocabulary: vocabulary) }
                #expect(found?.contains(part) == true, "\(found ?? "no error")")
            }
        }
    }
}
