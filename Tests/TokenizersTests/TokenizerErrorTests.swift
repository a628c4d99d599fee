// What is refused, and that the message names the place.

import Foundation
import Testing
import Tokenizers

@Suite struct TokenizerErrorTests {
    /// A tokenizer.json with some of its parts replaced.
    private static func file(
        version: String = #""1.0""#, added: String = "[]", normalizer: String = "null", preTokenizer: String = "null",
        postProcessor: String = "null", model: String = #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}"#,
        more: String = ""
    ) -> String {
        #"{"version":\#(version),"added_tokens":\#(added),"normalizer":\#(normalizer),"pre_tokenizer":\#(preTokenizer),"#
            + #""post_processor":\#(postProcessor),"model":\#(model)\#(more)}"#
    }

    private static func model(_ members: String) -> String {
        file(model: #"{"type":"BPE",\#(members)}"#)
    }

    private static func added(_ id: String, _ content: String) -> String {
        #"{"id":\#(id),"content":"\#(content)","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":false}"#
    }

    static let refusals: [(json: String, message: String)] = [
        // JSON
        ("", "T: line 1: malformed JSON: expected a value, found the end."),
        ("{\n\"a\" 1}", "T: line 2: malformed JSON: expected ':' after a key, found '1'."),
        ("[1,]", "T: line 1: malformed JSON: expected a value, found ']'."),
        ("{} x", "T: line 1: malformed JSON: expected the end of the text, found 'x'."),
        ("[01]", "T: line 1: malformed JSON: invalid number."),
        (#"["\ud800"]"#, "T: line 1: malformed JSON: an unpaired surrogate."),
        (#"["\ud800\u0041"]"#, "T: line 1: malformed JSON: an unpaired surrogate."),
        ("[\"a\nb\"]", "T: line 1: malformed JSON: a control character inside a string, where it must be escaped."),
        (#"["\x"]"#, "T: line 1: malformed JSON: an unknown escape."),
        (String(repeating: "[", count: 200), "T: line 1: malformed JSON: nested deeper than 127 levels."),
        // Frame
        ("[]", "T: expected an object, found an array."),
        (#"{"version":"1.0"}"#, "T: the key \"model\" is missing or null."),
        (file(version: "\"2.0\""), "T: version: expected \"1.0\", found \"2.0\"."),
        (file(more: #","surprise":1"#), "T: the key \"surprise\" is not supported here."),
        (file(more: #","model":{}"#), "T: the key \"model\" is given twice."),
        (file(more: #","truncation":512"#), "T: truncation: expected an object, found a number."),
        // Model
        (file(model: #"{"type":"WordPiece"}"#), "T: model: the type \"WordPiece\" is not supported (supported: BPE)."),
        (model(#""vocab":{"a":0}"#), "T: model: the key \"merges\" is missing or null."),
        (
            model(#""vocab":{"a":0},"merges":[],"dropout":0.1"#),
            "T: model.dropout: BPE dropout makes ids random and is not supported; set it to null."
        ),
        (model(#""vocab":{"a":-1},"merges":[]"#), "T: model.vocab[\"a\"]: expected a token id from 0 to 2147483647, found -1."),
        (model(#""vocab":{"a":1.5},"merges":[]"#), "T: model.vocab[\"a\"]: expected a token id from 0 to 2147483647, found 1.5."),
        (
            model(#""vocab":{"a":4294967296},"merges":[]"#),
            "T: model.vocab[\"a\"]: expected a token id from 0 to 2147483647, found 4294967296."
        ),
        (model(#""vocab":{"a":"0"},"merges":[]"#), "T: model.vocab[\"a\"]: expected a token id, found a string."),
        (model(#""vocab":{"a":0,"a":1},"merges":[]"#), "T: model.vocab[\"a\"]: the token is given twice."),
        (model(#""vocab":{"a":0,"b":1},"merges":["a b"]"#), "T: model.merges[0]: the token \"ab\" is not in the vocabulary."),
        (
            model(#""vocab":{"a":0},"merges":["a"]"#),
            "T: model.merges[0]: expected a merge, spelt \"left right\" or [\"left\", \"right\"]."
        ),
        (
            model(#""vocab":{"a":0},"merges":[["a"]]"#),
            "T: model.merges[0]: expected a merge, spelt \"left right\" or [\"left\", \"right\"]."
        ),
        (
            model(#""vocab":{"a":0},"merges":[],"unk_token":"?""#),
            "T: model.unk_token: the unknown token \"?\" is not in the vocabulary."
        ),
        (
            model(#""vocab":{"a":0},"merges":[],"continuing_subword_prefix":"@@""#),
            "T: model.continuing_subword_prefix: only null or \"\" is supported, found \"@@\"."
        ),
        // Added tokens
        (
            file(added: "[\(added("7", "<x>"))]"),
            "T: added_tokens[0]: the added token \"<x>\" declares the id 7, but vocabulary and order give it 3; correct the id or the order."
        ),
        (file(added: "[\(added("0", ""))]"), "T: added_tokens[0]: the content of an added token is empty."),
        (
            file(added: "[\(added("3", "x")),\(added("4", "X"))]", normalizer: #"{"type":"Lowercase"}"#),
            "T: added_tokens: the added token \"X\" is empty or equal to another one after normalization."
        ),
        // Normalizer
        (
            file(normalizer: #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Precompiled"}]}"#),
            "T: normalizer.normalizers[1]: the type \"Precompiled\" is not supported "
                + "(supported: NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, Sequence)."
        ),
        (file(normalizer: #"{"type":"Prepend"}"#), "T: normalizer: the key \"prepend\" is missing or null."),
        (
            file(normalizer: #"{"type":"Replace","pattern":{"String":""},"content":"x"}"#),
            "T: normalizer.pattern.String: an empty pattern is not supported."
        ),
        // Pre-tokenizer
        (
            file(preTokenizer: #"{"type":"Punctuation","behavior":"Isolated"}"#),
            "T: pre_tokenizer: the type \"Punctuation\" is not supported (supported: ByteLevel, Split, Digits, Metaspace, Sequence)."
        ),
        (
            file(preTokenizer: #"{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated","invert":false}"#),
            "T: pre_tokenizer.pattern.Regex: the regular expression \"(a\" does not compile: end pattern with unmatched parenthesis."
        ),
        (
            file(preTokenizer: #"{"type":"Split","pattern":{"String":"a"},"behavior":"Kept","invert":false}"#),
            "T: pre_tokenizer.behavior: the type \"Kept\" is not supported "
                + "(supported: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous)."
        ),
        (
            file(
                preTokenizer:
                    #"{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"Digits"}]}"#),
            "T: pre_tokenizer.pretokenizers[1]: a Digits after ByteLevel is not supported: ByteLevel must come last."
        ),
        (
            file(preTokenizer: #"{"type":"Metaspace","replacement":"ab"}"#),
            "T: pre_tokenizer.replacement: expected a single character."
        ),
        (
            file(
                normalizer: #"{"type":"Strip","strip_left":true,"strip_right":true}"#,
                preTokenizer: #"{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}"#),
            "T: pre_tokenizer.prepend_scheme: \"first\" is supported only where Metaspace is the first pre-tokenizer and the normalizer "
                + "keeps the beginning of the text (not Prepend, Replace or Strip)."
        ),
        (
            file(preTokenizer: #"{"type":"Digits","individual_digits":true,"new":1}"#),
            "T: pre_tokenizer: the key \"new\" is not supported here."
        ),
        // Post-processor
        (
            file(postProcessor: #"{"type":"OtherProcessing"}"#),
            "T: post_processor: the type \"OtherProcessing\" is not supported "
                + "(supported: ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, Sequence)."
        ),
        (file(postProcessor: #"{"type":"BertProcessing","sep":["b",1]}"#), "T: post_processor: the key \"cls\" is missing or null."),
        (
            file(postProcessor: #"{"type":"RobertaProcessing","sep":["b"],"cls":["a",0]}"#),
            "T: post_processor.sep: expected a token and its id, found 1 values."
        ),
        (
            file(
                postProcessor:
                    #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}],"special_tokens":{"x":{}}}"#
            ),
            "T: post_processor.single[0].SpecialToken.id: the special token \"<s>\" is not listed in special_tokens."
        ),
        (
            file(postProcessor: #"{"type":"TemplateProcessing","single":[],"special_tokens":{}}"#),
            "T: post_processor.single: the sequence \"A\" is missing."
        ),
    ]

    @Test(arguments: refusals) func aFaultyFileIsRefused(json: String, message: String) {
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(json: Data(json.utf8), name: "T") }
        #expect(error?.description == message)
    }

    @Test func theFileOfTheRefusalsIsAcceptedUnchanged() throws {
        #expect(try Tokenizer(json: Data(Self.file().utf8), name: "T").encode("abba") == [2, 1, 0])
    }

    @Test func invalidUTF8IsRefused() {
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(json: Data([0x22, 0xFF, 0x22]), name: "T") }
        #expect(error?.description == "T: the file is not valid UTF-8, so it is not JSON.")
    }

    @Test func aCutFileIsAlwaysRefused() throws {
        let json = try Fixture(name: "added-tokens").contents(of: "tokenizer.json")
        let end = try #require(json.lastIndex(of: UInt8(ascii: "}")))
        for length in stride(from: 0, through: end, by: max(1, end / 60)) {
            #expect(throws: TokenizerError.self) { try Tokenizer(json: json.prefix(length), name: "T") }
        }
    }

    @Test func aReplaceThatMatchesNothingIsRefused() throws {
        let json = Self.file(normalizer: #"{"type":"Replace","pattern":{"Regex":"x*"},"content":"-"}"#)
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(json: Data(json.utf8), name: "T").encode("ab") }
        #expect(error?.description.contains("matched no character at all") == true)
    }

    /// Replacements of replacements: 200 to the power of 4 bytes for each.
    @Test func aTextThatGrowsWithoutEndIsRefused() throws {
        let step = #"{"type":"Replace","pattern":{"String":"a"},"content":"\#(String(repeating: "a", count: 200))"}"#
        let json = Self.file(normalizer: #"{"type":"Sequence","normalizers":[\#([step, step, step, step].joined(separator: ","))]}"#)
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(json: Data(json.utf8), name: "T").encode("ab") }
        #expect(error?.description.contains("the text grows beyond 65664 bytes") == true)
    }

    /// (a+)+b takes exponential time on a run of "a"; Oniguruma stops at its limit of retries.
    @Test func aRunawayExpressionIsStopped() throws {
        let json = Self.file(
            preTokenizer: #"{"type":"Split","pattern":{"Regex":"(?:a|a|aa)+$b"},"behavior":"Isolated","invert":false}"#)
        let tokenizer = try Tokenizer(json: Data(json.utf8), name: "T")
        let error = #expect(throws: TokenizerError.self) { try tokenizer.encode(String(repeating: "a", count: 100) + "c\n") }
        #expect(error?.description.contains("gave up") == true)
    }
}
