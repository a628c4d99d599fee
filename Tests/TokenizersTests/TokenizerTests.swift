// Ids equal to those of the reference library, and the properties that the fast paths must keep.

import Foundation
import Testing
import Tokenizers

@Suite struct TokenizerTests {
    @Test(arguments: Fixture.all) func idsAreThoseOfTheReference(fixture: Fixture) throws {
        let tokenizer = try fixture.tokenizer()
        for expected in try fixture.cases() {
            #expect(try tokenizer.encode(expected.text) == expected.ids, "\(fixture.name), \(expected.name)")
            #expect(
                try tokenizer.encode(expected.text, addSpecialTokens: true) == expected.idsWithSpecialTokens,
                "\(fixture.name), \(expected.name), with special tokens")
        }
    }

    @Test(arguments: Fixture.all) func idsStayBelowTheVocabularySize(fixture: Fixture) throws {
        let tokenizer = try fixture.tokenizer()
        let largest = try fixture.cases().flatMap(\.idsWithSpecialTokens).max()
        #expect(try #require(largest) < tokenizer.vocabularySize)
    }

    @Test func vocabularySizeCountsAddedTokens() throws {
        let vocabulary = #""vocab":{"a":0,"b":1},"merges":[]"#
        #expect(try tokenizer(model: vocabulary).vocabularySize == 2)
        #expect(try tokenizer(model: vocabulary, added: [("<x>", 2), ("<y>", 3)]).vocabularySize == 4)
    }

    /// All texts at once repeat every word, so that the second half comes from the cache, and hold pieces of every length.
    @Test(arguments: Fixture.all) func cachedWordsHaveTheSameIDs(fixture: Fixture) throws {
        let tokenizer = try fixture.tokenizer()
        let text = try fixture.cases().map(\.text).joined(separator: "\n")
        let ids = try tokenizer.encode(text)
        #expect(try tokenizer.encode(text) == ids)
        #expect(try fixture.tokenizer().encode(text) == ids)
    }

    @Test func concurrentTextsDoNotDisturbEachOther() async throws {
        let tokenizer = try Fixture(name: "llama3").tokenizer()
        let cases = try Fixture(name: "llama3").cases()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for expected in cases {
                group.addTask { try tokenizer.encode(expected.text) == expected.ids }
            }
            for try await isEqual in group { #expect(isEqual) }
        }
    }

    /// A quadratic method would need minutes.
    @Test(.timeLimit(.minutes(1)), arguments: Fixture.all) func aLongPieceTakesNoLongerThanManyShortOnes(fixture: Fixture) throws {
        let tokenizer = try fixture.tokenizer()
        for text in ["a", " ", "e\u{301}"].map({ String(repeating: $0, count: 40_000) }) {
            #expect(try !tokenizer.encode(text).isEmpty)
        }
    }

    @Test func canonicallyEquivalentTokensStayApart() throws {
        let tokenizer = try tokenizer(
            model: #""vocab":{"\u00e9":0,"e":1,"\u0301":2,"e\u0301":3,"\u212b":4,"\u00c5":5},"merges":[["e","\u0301"]]"#)
        #expect(try tokenizer.encode("\u{E9}") == [0])
        #expect(try tokenizer.encode("e\u{301}") == [3])
        #expect(try tokenizer.encode("\u{C5}\u{212B}") == [5, 4])
    }

    /// The leftmost of equal merges goes first, and a merge of lower rank before all others.
    @Test func mergesGoByRankThenFromTheLeft() throws {
        let tokenizer = try tokenizer(model: #""vocab":{"a":0,"b":1,"aa":2,"ab":3,"aab":4},"merges":["a a","a b","aa b"]"#)
        #expect(try tokenizer.encode("aaa") == [2, 0])
        #expect(try tokenizer.encode("aab") == [4])
        #expect(try tokenizer.encode("aaab") == [2, 3])
        // The same through the queue for long pieces: an even number of "a" pairs up, then "aa" takes the "b".
        let pairs = 5_000
        #expect(
            try tokenizer.encode(String(repeating: "a", count: 2 * pairs) + "b") == Array(repeating: 2, count: pairs - 1) + [4])
    }

    @Test func aMergeGivenTwiceKeepsItsLastRank() throws {
        let tokenizer = try tokenizer(model: #""vocab":{"a":0,"b":1,"c":2,"ab":3,"bc":4},"merges":["a b","b c","a b"]"#)
        #expect(try tokenizer.encode("abc") == [0, 4])
    }

    @Test func mergesOfByteTokensAreApplied() throws {
        let tokenizer = try tokenizer(
            model: #""byte_fallback":true,"vocab":{"<0xC3>":0,"<0xA9>":1,"<0xC3><0xA9>":2,"a":3},"merges":[["<0xC3>","<0xA9>"]]"#)
        #expect(try tokenizer.encode("aé") == [3, 2])
        // Longer than a cached word, so that cutting it between the byte tokens would show.
        #expect(try tokenizer.encode(String(repeating: "é", count: 200)) == Array(repeating: 2, count: 200))
    }

    /// Ids as the reference library gives them (Tests/Compatibility compares more): each processor works on what the one before has made.
    @Test(arguments: [
        (#"{"type":"BertProcessing","sep":["b",1],"cls":["a",0]}"#, [0, 2, 1] as [Int32]),
        (#"{"type":"RobertaProcessing","sep":["a",0],"cls":["b",1],"trim_offsets":true,"add_prefix_space":false}"#, [1, 2, 0]),
        (
            #"{"type":"Sequence","processors":[{"type":"BertProcessing","sep":["b",1],"cls":["a",0]},{"type":"TemplateProcessing","single":"#
                + #"[{"SpecialToken":{"id":"ab","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"ab":{"ids":[2]}}}]}"#,
            [2, 0, 2, 1]
        ),
    ])
    func postProcessorsFrameTheText(processor: String, ids: [Int32]) throws {
        let tokenizer = try tokenizer(model: #""vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]"#, more: #","post_processor":\#(processor)"#)
        #expect(try tokenizer.encode("ab", addSpecialTokens: true) == ids)
        #expect(try tokenizer.encode("ab") == [2])
    }

    /// Clients take both back before they encode a text.
    @Test func truncationAndPaddingAreTakenBack() throws {
        let settings =
            #","truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},"#
            + #""padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"a"}"#
        let tokenizer = try tokenizer(model: #""vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]"#, more: settings)
        #expect(try tokenizer.encode("abba") == [2, 1, 0])
    }

    private func tokenizer(model: String, added: [(content: String, id: Int)] = [], more: String = "") throws -> Tokenizer {
        let tokens = added.map {
            #"{"id":\#($0.id),"content":"\#($0.content)","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}"#
        }
        let json = #"{"version":"1.0","added_tokens":[\#(tokens.joined(separator: ","))],"model":{"type":"BPE",\#(model)}\#(more)}"#
        return try Tokenizer(json: Data(json.utf8), name: "test")
    }
}
