// Documents that come in parts have the ids of the whole.

import Foundation
import Testing
import Tokenizers

@Suite struct TextEncodingTests {
    /// Every text of the references, one after the other with and without a line between them, until there are many pieces.
    private func text(_ fixture: Fixture) throws -> String {
        let texts = try fixture.cases().map(\.text)
        var text = ""
        while text.utf8.count < 60_000 { text += texts.joined(separator: ["\n", "\nThen ", " ", "\n\n7 "][text.utf8.count % 4]) + "\nAnd" }
        return text
    }

    /// - Returns: ids that were known before the end, and the rest.
    private func encode(_ text: String, with encoding: inout TextEncoding, partsOf count: Int) throws -> (early: [Int32], late: [Int32]) {
        let bytes = Array(text.utf8)
        var early: [Int32] = []
        for start in stride(from: 0, to: bytes.count, by: count) { early += try encoding.append(bytes[start..<min(start + count, bytes.count)]) }
        return (early, try encoding.finish())
    }

    @Test(arguments: Fixture.all, [false, true]) func partsGiveTheIdsOfTheWhole(fixture: Fixture, special: Bool) throws {
        let tokenizer = try fixture.tokenizer(), text = try text(fixture)
        let whole = try tokenizer.encode(text, addSpecialTokens: special)
        for most in [512, 4096, 1 << 20] {
            var encoding = TextEncoding(tokenizer, addSpecialTokens: special, most: most)
            // One encoding takes one document after the other.
            for count in [333, 4096, 1 << 20] {
                let found = try encode(text, with: &encoding, partsOf: count)
                #expect(found.early + found.late == whole, "\(most), \(count)")
                #expect(most == 1 << 20 || found.early.count > whole.count / 2, "\(most), \(count): \(found.early.count) of \(whole.count)")
            }
            #expect(try encoding.finish() == tokenizer.encode("", addSpecialTokens: special))
        }
    }

    /// Where ids depend on both ends of a text, there is no place to cut it.
    @Test(arguments: [
        (#"{"type":"Strip","strip_left":true,"strip_right":true}"#, "null"), (#"{"type":"Replace","pattern":{"Regex":"\\n\\z"},"content":"b"}"#, "null"),
        ("null", #"{"type":"Split","pattern":{"Regex":"(?m:a.*)"},"behavior":"Isolated","invert":false}"#),
    ])
    func nothingIsCutWhereIdsWouldChange(normalizer: String, preTokenizer: String) throws {
        let tokenizer = try Tokenizer(
            json: Data(
                """
                {"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":\(normalizer),"pre_tokenizer":\(preTokenizer),\
                "post_processor":null,"decoder":null,"model":{"type":"BPE","vocab":{"a":0,"b":1,"\\n":2,"\\na":3},"merges":[["\\n","a"]]}}
                """.utf8), name: "T")
        let text = String(repeating: "ab\na\n", count: 4000)
        var encoding = TextEncoding(tokenizer, addSpecialTokens: false, most: 1024)
        let found = try encode(text, with: &encoding, partsOf: 700)
        #expect(found.early.isEmpty)
        #expect(try found.late == tokenizer.encode(text))
    }
}
