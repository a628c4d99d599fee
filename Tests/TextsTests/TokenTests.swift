// From files of text and ids to sequences.

import Failures
import Foundation
import Glibc
import Recipes
import Safetensors
import Testing
import Texts
import TinyModels
import Tokenizers

@Suite(.serialized) struct Tokens {
    private let folder: TinyModel
    private let tokenizer = root + "/Demo/wikillama/tokenizer.json"

    init() throws {
        folder = try TinyModel()
    }

    private func allIDs(ofText path: String, field: String? = nil, tokenizer: String, addSpecialTokens: Bool) throws -> [Int32] {
        let ids = try tokenIDs(ofText: path, field: field, tokenizer: tokenizer, addSpecialTokens: addSpecialTokens)
        return try ids[0..<ids.count]
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
        try NumpyArray.write((0..<1000).map { Int32($0) }, to: path)
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

    /// As transformers encodes each of them; the tokenizer of Llama 3 begins a text with a token of its own.
    @Test func specialTokensSurroundDocuments() throws {
        let llama = root + "/Tests/TokenizersTests/Fixtures/llama3/tokenizer.json"
        let texts = ["One sentence of text.", "Another one."]
        try folder.write(texts.map { "{\"text\": \"\($0)\"}\n" }.joined(), "a.jsonl")
        func load(_ settings: String, tokenizer: String = llama, source: String = "a.jsonl") throws -> [Int32] {
            let yaml = "model: a\noutput: b\ncalibration: {source: '\(folder.path)/\(source)', sampling: consecutive, sequences: 1\(settings)}"
            let calibration = try #require(try Recipe(yaml: yaml, file: "r").calibration)
            return try TokenSequences.load(calibration, tokenizer: tokenizer, vocabularySize: 1 << 20).sequences[0]
        }
        let plain = try texts.map { text in
            try folder.write(text, "one.txt")
            return try allIDs(ofText: folder.path + "/one.txt", tokenizer: llama, addSpecialTokens: false)
        }
        let first = try #require(try allIDs(ofText: folder.path + "/one.txt", tokenizer: llama, addSpecialTokens: true).first)
        #expect(first != plain[1][0])
        #expect(try load(", length: \(plain[0].count + plain[1].count)") == plain[0] + plain[1])
        #expect(
            try load(", special_tokens: true, length: \(plain[0].count + plain[1].count + 2)") == [first] + plain[0] + [first] + plain[1])
        // Nothing that has no effect is taken in silence.
        func refusal(_ body: () throws -> [Int32]) -> String {
            do { return "\(try body())" } catch { return "\(error)" }
        }
        #expect(refusal { try load(", special_tokens: true, length: 2", tokenizer: tokenizer) }.contains("puts no special tokens around a text"))
        #expect(refusal { try load(", special_tokens: true, length: 2", source: "ids.npy") }.contains("holds ids"))
    }

    /// What a file is, its content says: other names, byte order marks, arrays and records over several lines give the ids of the plain text.
    @Test(arguments: [
        ("a.json", "{\"text\": \"One sentence of text. \"}\n{\"text\": \"Another one.\"}\n"),
        ("a.ndjson", "\n{\"text\": \"One sentence of text. \"}\n\n{\"text\": \"Another one.\"}"),
        ("records", "{\"text\": \"One sentence of text. \", \"url\": {\"a\": 1, \"a\": 2}}\n{\"text\": \"Another one.\"}\n"),
        ("mark.txt", "\u{feff}{\"text\": \"One sentence of text. \"}\r\n{\"text\": \"Another one.\"}\r\n"),
        ("array.json", "[{\"text\": \"One sentence of text. \"},\n  \"Another one.\"]"),
        ("array.txt", " [{\"text\": \"One sentence of text. \"}, {\"text\": \"Another one.\"}]"),
        ("pretty.json", "{\n  \"text\": \"One sentence of text. Another one.\"\n}\n"), ("strings.jsonl", "\"One sentence of text. \"\n\"Another one.\"\n"),
    ])
    func contentSaysWhatAFileIs(name: String, content: String) throws {
        let settings = ", sequences: 2, length: 3, sampling: consecutive"
        try folder.write(name.hasPrefix("pretty") ? "One sentence of text. Another one." : "One sentence of text. ", "first.txt")
        try folder.write("Another one.", "second.txt")
        try folder.write(content, name)
        // Documents are encoded each on its own.
        let parts = name.hasPrefix("pretty") ? ["first.txt"] : ["first.txt", "second.txt"]
        let all = try parts.flatMap { try allIDs(ofText: folder.path + "/" + $0, tokenizer: tokenizer, addSpecialTokens: false) }
        #expect(try load(folder.path + "/" + name, settings) == [Array(all[0..<3]), Array(all[3..<6])])
        #expect(try allIDs(ofText: folder.path + "/" + name, tokenizer: tokenizer, addSpecialTokens: false) == all)
    }

    /// Compressed, a file is what it is uncompressed, whatever its name says of that; in several members too.
    @Test func compressedTextsGiveTheSameIds() throws {
        try folder.write("{\"text\": \"One sentence of text. \"}\n", "a.jsonl")
        try folder.write("{\"text\": \"Another one.\"}\n", "b.jsonl")
        try folder.write("Just a text.\n", "c.txt")
        try shell("cat a.jsonl b.jsonl > all.jsonl; (gzip -c a.jsonl; gzip -c b.jsonl) > all.jsonl.gz; cp all.jsonl.gz packed; gzip -c c.txt > c.txt.gz")
        func ids(_ name: String) throws -> [Int32] { try allIDs(ofText: folder.path + "/" + name, tokenizer: tokenizer, addSpecialTokens: false) }
        for name in ["all.jsonl.gz", "packed"] { #expect(try ids(name) == ids("all.jsonl")) }
        #expect(try ids("c.txt.gz") == ids("c.txt"))
        try folder.write("{\"text\": \"a\"}\n{\"txt\": 1}\n", "bad.jsonl")
        try shell("gzip -f bad.jsonl; head -c 40 all.jsonl.gz > cut.gz; tar -czf some.tar.gz c.txt")
        #expect(message { _ = try ids("bad.jsonl.gz") }?.contains("bad.jsonl.gz:2: this record has no field `text`") == true)
        #expect(message { _ = try ids("cut.gz") }?.contains("it was cut off") == true)
        #expect(message { _ = try ids("some.tar.gz") }?.contains("is named .tar") == true)
    }

    /// A plain text is read and encoded in parts, which cut neither characters nor words; what is no UTF-8 is found in any of them.
    @Test func aLongTextIsReadInParts() throws {
        var text = "\u{feff}"
        while text.utf8.count < 9 << 20 { text += "Über the \(text.utf8.count) naïve 日本語 lines 😀.\n\n" }
        try folder.write(text, "long.txt")
        try shell("gzip -k long.txt")
        let found = try allIDs(ofText: folder.path + "/long.txt", tokenizer: tokenizer, addSpecialTokens: false)
        let whole = try Tokenizer(json: Data(contentsOf: URL(fileURLWithPath: tokenizer)), name: "T").encode(String(text.dropFirst()))
        #expect(found == whole)
        #expect(try allIDs(ofText: folder.path + "/long.txt.gz", tokenizer: tokenizer, addSpecialTokens: false) == whole)
        let lines = text.count { $0 == "\n" }
        for (rest, place) in [([0xe9, 0x0a], "byte 3"), ([0xf0, 0x9f, 0x98], "byte 3")] as [([UInt8], String)] {
            try Data(Array(text.utf8) + Array("bc".utf8) + rest).write(to: URL(fileURLWithPath: folder.path + "/bad.txt"))
            let words = "bad.txt:\(lines + 1): \(place) of this line (0x\(String(rest[0], radix: 16))) is not UTF-8"
            #expect(message { _ = try allIDs(ofText: folder.path + "/bad.txt", tokenizer: tokenizer, addSpecialTokens: false) }?.contains(words) == true)
        }
        try Data(Array("ab\n".utf8) + Array(repeating: 0x61, count: 3 << 20) + [0xff, 0x61]).write(to: URL(fileURLWithPath: folder.path + "/one.txt"))
        let late = message { _ = try allIDs(ofText: folder.path + "/one.txt", tokenizer: tokenizer, addSpecialTokens: false) }
        #expect(late?.contains("one.txt:2: byte \(3 << 20 | 1) of this line (0xff)") == true, "\(late ?? "no error")")
    }

    private func shell(_ command: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(command)")
    }

    /// Each source gives its share, from places of its own; any beginning of the whole has about the same shares.
    @Test func sourcesHaveTheirShares() throws {
        for (name, start) in [("a.npy", 0), ("b.npy", 10_000)] {
            try NumpyArray.write((0..<4000).map { Int32(start + $0) }, to: folder.path + "/" + name)
        }
        func load(_ a: String, _ b: String, _ settings: String) throws -> [[Int32]] {
            let source = "[{path: '\(folder.path)/a.npy'\(a)}, {path: '\(folder.path)/b.npy'\(b)}]"
            let recipe = try Recipe(yaml: "model: a\noutput: b\ncalibration: {source: \(source), length: 10, \(settings)}", file: "r")
            return try TokenSequences.load(try #require(recipe.calibration), tokenizer: tokenizer, vocabularySize: 20_000).sequences
        }
        let found = try load(", weight: 3", "", "sequences: 12, sampling: random, seed: 5")
        let ofSecond = found.map { $0[0] >= 10_000 }
        #expect(ofSecond.count { $0 } == 3)
        for end in stride(from: 4, through: 12, by: 4) { #expect(ofSecond.prefix(end).count { $0 } == end / 4) }
        #expect(try load(", weight: 3", "", "sequences: 12, sampling: random, seed: 5") == found)
        // The sources draw at places of their own, and the first as it would alone.
        let alone = try self.load(folder.path + "/a.npy", ", sequences: 9, length: 10, sampling: random, seed: 5", vocabulary: 20_000)
        #expect(found.filter { $0[0] < 10_000 } == alone)
        let even = try load("", "", "sequences: 6, sampling: random, seed: 5")
        #expect(Set(even.map { $0[0] % 10_000 }).count == 6)
        #expect(try load("", "", "sequences: 3, sampling: consecutive, skip: 2").map { $0[0] } == [20, 10_020, 30])
    }

    /// Ids that do not rest in memory come back from disk.
    @Test func manyTokensRestOnDisk() throws {
        var store = TokenStore()
        let all = (0..<10_000).map { Int32($0) }
        for start in stride(from: 0, to: all.count, by: 70) { try store.append(Array(all[start..<min(start + 70, all.count)]), most: 999) }
        #expect(store.count == all.count)
        for range in [0..<10_000, 0..<1, 500..<2000, 9000..<10_000, 9950..<9999, 10_000..<10_000] { #expect(try store[range] == Array(all[range])) }
    }

    /// Files of ids are read, and written, some ids at a time: the same ids on both sides of a cut, and each refused at its place.
    @Test func manyIDsAreReadInParts() throws {
        var ids = (0..<700_001).map { Int32($0 % 4096) }
        try NumpyArray.write(ids, to: folder.path + "/i32.npy")
        var largest = 0
        try NumpyArray.write(count: ids.count, to: folder.path + "/parts.npy") { range in
            largest = max(largest, range.count)
            return Array(ids[range])
        }
        #expect(largest <= 1 << 18)
        try shell("cmp i32.npy parts.npy")
        func tensor(_ name: String, _ type: ElementType) throws {
            let writer = try SafetensorsWriter(path: folder.path + "/" + name, tensors: [TensorDescription(name: "ids", type: type, shape: [ids.count])])
            let bytes = type == .i32 ? ids.withUnsafeBytes { Array($0) } : ids.map(Int64.init).withUnsafeBytes { Array($0) }
            try bytes.withUnsafeBytes { try writer.append($0, to: "ids") }
            _ = try writer.finish()
        }
        try tensor("i32.safetensors", .i32)
        try tensor("i64.safetensors", .i64)
        for name in ["i32.npy", "i32.safetensors", "i64.safetensors"] {
            let found = try load(folder.path + "/" + name, ", sequences: 7000, length: 100")
            #expect(found.flatMap { $0 } == Array(ids.prefix(700_000)), "\(name)")
        }
        ids[600_000] = 5000
        try NumpyArray.write(ids, to: folder.path + "/i32.npy")
        try tensor("i64.safetensors", .i64)
        for name in ["i32.npy", "i64.safetensors"] {
            let refusal = message { _ = try load(folder.path + "/" + name, ", sequences: 1, length: 100") }
            #expect(refusal?.contains("id 5000 at position 600000 is outside") == true, "\(name): \(refusal ?? "no error")")
        }
    }

    /// Texts that begin as JSON does and go on otherwise are plain texts, with all that is in them.
    @Test(arguments: ["{braces} are text here.\nSo is this.", "[1] A footnote, and more.", "{\n  \"cut\": \"of", "\u{feff}A mark comes first."])
    func otherBeginningsArePlain(text: String) throws {
        try folder.write(text, "plain.txt")
        try folder.write("x" + text.drop { $0 == "\u{feff}" }, "longer.txt")
        let ids = try allIDs(ofText: folder.path + "/plain.txt", tokenizer: tokenizer, addSpecialTokens: false)
        let longer = try allIDs(ofText: folder.path + "/longer.txt", tokenizer: tokenizer, addSpecialTokens: false)
        // Nothing was taken for a key and left out.
        #expect(ids.count >= 5 && abs(ids.count - longer.count) <= 1)
    }

    /// Each is refused by name, with file and line where it has lines.
    @Test(arguments: [
        ("c4.csv", "text\nOne.", "is named .csv, and of tables Cleave reads Parquet alone"), ("a.tsv", "a\tb", "reads Parquet alone"),
        ("a.gz", "plain", "is named .gz, and its content is not compressed by gzip"), ("a.txt.xz", "plain", "is named .xz; unpack it"),
        ("a.txt.zst", "plain", "is named .zst, and its content is not compressed by zstd"), ("a.pt", "x", "is no text that Cleave reads"),
        ("a.parquet", "plain", "not a whole Parquet file"),
        ("chat.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "a chat in `messages`; a chat becomes text by the chat template"),
        ("a.jsonl", "{\"text\": \"a\"}\n\n\n\n{\"content\": \"b\"}\n", "a.jsonl:5: this record has no field `text`; it has `content`"),
        ("b.jsonl", "{\"text\": \"a\"}\nplain\n", "b.jsonl:2: this line is not JSON: expected a value, found 'p'"),
        ("c.jsonl", "{\"text\": \"\\ud83d\"}\n", "c.jsonl:1: this line is not JSON: an unpaired surrogate"),
        ("d.jsonl", "{\"text\": null}\n", "d.jsonl:1: this record has in its field `text` null"), ("e.jsonl", "[]\n[]\n", "e.jsonl:2: this is not JSON"),
        ("f.json", "Once upon a time.", "f.json:1: this is not JSON: expected a value, found 'O'"),
        ("g.json", "[{\"text\": \"a\"},\n {\"txt\": 1}]", "element 2 has no field `text`; it has `txt`"),
        ("h.json", "{\"text\": \"a\"}\n{\"text\": \"b\"", "h.json:2"),
        ("i.ndjson", "{\"text\": \"a\", \"text\": \"b\"}\n", "i.ndjson:1: this record has more than one field `text`"),
        ("j.json", "{\"rows\": []}", "it has `rows`"),
        ("k", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
    ])
    func othersAreNamed(name: String, content: String, words: String) throws {
        try folder.write(content, name)
        let found = message { _ = try load(folder.path + "/" + name) }
        #expect(found?.contains(words) == true && found?.contains(name) == true, "\(found ?? "no error")")
    }

    @Test(
        arguments: [
            ("d.jsonl", [0x1f, 0x8b, 8, 0], "it was cut off"), ("d.txt", [0x28, 0xb5, 0x2f, 0xfd, 0], "it was cut off"),
            ("d.xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "compressed by xz"), ("e", Array("PAR1x".utf8), "not a whole Parquet file"),
            ("u.txt", [0xff, 0xfe, 0x61, 0], "UTF-16"), ("v.txt", [0x61, 0, 0x62, 0, 0x63, 0, 0x64, 0], "UTF-16"),
            (
                "w.jsonl", Array("{\"text\": \"a\"}\n{\"text\": \"".utf8) + [0xe9] + Array("\"}\n".utf8),
                "w.jsonl:2: byte 11 of this line (0xe9) is not UTF-8"
            ),
            ("x.txt", Array("a\nbc".utf8) + [0xe9, 0x0a], "x.txt:2: byte 3 of this line (0xe9) is not UTF-8"),
        ] as [(String, [UInt8], String)])
    func bytesAreNamed(name: String, content: [UInt8], words: String) throws {
        try Data(content).write(to: URL(fileURLWithPath: folder.path + "/" + name))
        let found = message { _ = try load(folder.path + "/" + name) }
        #expect(found?.contains(words) == true, "\(found ?? "no error")")
    }

    /// Nobody writes to it: whoever opened it would wait for ever.
    @Test func aPipeIsRefused() throws {
        #expect(mkfifo(folder.path + "/pipe.jsonl", 0o600) == 0)
        #expect(message { _ = try load(folder.path + "/pipe.jsonl") }?.contains("This is a pipe; a regular file is needed") == true)
    }

    @Test(arguments: [(true, "and tokenizer.model beside it is in a format that Cleave does not read"), (false, "take it from the model's repository")])
    func aMissingTokenizer(hasOther: Bool, words: String) throws {
        try folder.write("Some text.", "some.txt")
        if hasOther { try folder.write("x", "tokenizer.model") }
        let found = message { _ = try allIDs(ofText: folder.path + "/some.txt", tokenizer: folder.path, addSpecialTokens: false) }
        #expect(found?.contains("tokenizer.json is missing") == true && found?.contains(words) == true, "\(found ?? "no error")")
    }

    @Test func windowsLeaveOutTheRest() throws {
        let all = try TokenSequences.windows(source: folder.path + "/ids.npy", length: 300, count: nil, tokenizer: "", vocabularySize: 50)
        #expect(all.sequences.map(\.count) == [300, 300])
        let one = try TokenSequences.windows(source: folder.path + "/ids.npy", length: 300, count: 1, tokenizer: "", vocabularySize: 50)
        #expect(one.sequences == [all.sequences[0]] && one.hash != all.hash)
    }

    @Test func windowsOfAField() throws {
        try folder.write("{\"page\": \"One sentence of text. \", \"text\": \"no\"}\n{\"page\": \"Another one.\"}\n", "pages.jsonl")
        let path = folder.path + "/pages.jsonl"
        let windows = try TokenSequences.windows(source: path, field: "page", length: 3, count: 2, tokenizer: tokenizer, vocabularySize: 4096)
        #expect(
            windows.sequences.flatMap { $0 }
                == (try allIDs(ofText: path, field: "page", tokenizer: tokenizer, addSpecialTokens: false).prefix(6).map { $0 }))
        #expect(throws: PipelineError.self) {
            try TokenSequences.windows(source: path, length: 3, count: 2, tokenizer: tokenizer, vocabularySize: 4096)
        }
    }

    @Test func refusals() throws {
        try folder.write("", "empty.txt")
        try Data([0x61, 0xff, 0x62]).write(to: URL(fileURLWithPath: folder.path + "/latin.txt"))
        try folder.write("{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", "bad.jsonl")
        try folder.write("\n\n", "empty.jsonl")
        try NumpyArray.write([1, -1, 2], to: folder.path + "/negative.npy")
        let cases = [
            ("ids.npy", ", sequences: 90, length: 10", "800 tokens, enough for 80 sequences of 10; 90 are asked for"),
            ("ids.npy", ", sequences: 16777216, length: 16777216, skip: 16777216", "are asked for"),
            ("ids.npy", ", sequences: 1, length: 10", "outside the model's vocabulary of 20"),
            ("negative.npy", ", sequences: 1, length: 2", "id -1 at position 1"), ("missing.txt", "", "The file does not exist"),
            ("empty.txt", "", "is empty"),
            ("latin.txt", "", "latin.txt:1: byte 2 of this line (0xff) is not UTF-8"),
            ("bad.jsonl", "", "bad.jsonl:2: this record has no field `text`; it has `txt`"), ("empty.jsonl", "", "holds no text"),
            ("model", "", "This is a directory"), ("model/model.safetensors", "", "expected one tensor"),
        ]
        for (name, settings, part) in cases {
            let vocabulary = part.contains("of 20") ? 20 : name.hasSuffix(".jsonl") ? 4096 : 50
            let found = message { _ = try load(folder.path + "/" + name, settings, vocabulary: vocabulary) }
            #expect(found?.contains(part) == true, "\(found ?? "no error")")
        }
    }
}
