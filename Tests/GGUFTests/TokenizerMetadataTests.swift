// Tokenizers as metadata: what is carried, and what is refused since llama.cpp would cut texts elsewhere.

import GGUF
import Testing

@Suite struct TokenizerMetadataTests {
    private static let gpt2 = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#
    private static let model = #"{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}"#

    private static func tokenizer(
        _ preTokenizer: String = gpt2, model: String = model, normalizer: String = "null", processor: String = "null",
        added: String = #"[{"id": 3, "content": "<s>", "special": true}, {"id": 4, "content": "<|x|>", "special": false}, {"id": 5, "content": "word"}]"#
    ) -> [UInt8] {
        Array(
            #"{"model": \#(model), "pre_tokenizer": \#(preTokenizer), "normalizer": \#(normalizer), "post_processor": \#(processor), "added_tokens": \#(added)}"#
                .utf8)
    }

    private static func entries(
        _ tokenizer: [UInt8] = tokenizer(), settings: String? = #"{"bos_token": {"content": "<s>"}, "eos_token": "b"}"#, configuration: String = "{}"
    ) throws -> [String: GGUFValue] {
        let metadata = try TokenizerMetadata(
            tokenizer: tokenizer, settings: settings.map { Array($0.utf8) }, configuration: Array(configuration.utf8), chatTemplate: nil, vocabularySize: 8)
        return Dictionary(uniqueKeysWithValues: metadata.entries.map { ($0.key, $0.value) })
    }

    @Test func vocabularyAndSpecialTokens() throws {
        let entries = try Self.entries()
        #expect(entries["tokenizer.ggml.tokens"] == .strings(["a", "b", "ab", "<s>", "<|x|>", "word", "[PAD6]", "[PAD7]"]))
        #expect(entries["tokenizer.ggml.token_type"] == .int32s([1, 1, 1, 3, 3, 4, 5, 5]))
        #expect(entries["tokenizer.ggml.merges"] == .strings(["a b"]))
        #expect(entries["tokenizer.ggml.bos_token_id"] == .uint32(3) && entries["tokenizer.ggml.eos_token_id"] == .uint32(1))
        #expect(entries["tokenizer.ggml.add_bos_token"] == .bool(false) && entries["tokenizer.ggml.unknown_token_id"] == nil)
        // Without names, ids of config.json count.
        let numbered = try Self.entries(settings: nil, configuration: #"{"eos_token_id": [2, 1], "bos_token_id": 9}"#)
        #expect(numbered["tokenizer.ggml.eos_token_id"] == .uint32(2) && numbered["tokenizer.ggml.bos_token_id"] == nil)
    }

    @Test func templatesOfTokens() throws {
        let processor = #"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}"#
        let entries = try Self.entries(Self.tokenizer(processor: processor), settings: #"{"add_bos_token": false, "chat_template": "{{ x }}"}"#)
        #expect(entries["tokenizer.ggml.add_bos_token"] == .bool(true) && entries["tokenizer.ggml.add_eos_token"] == .bool(false))
        #expect(entries["tokenizer.chat_template"] == .string("{{ x }}"))
    }

    @Test func waysToCutText() throws {
        let bytes = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}"#
        let digits = #"{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, \#(Self.gpt2)]}"#
        let numbers = { (digits: String) in
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\#(digits)| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#
        }
        let split = { (pattern: String) in
            #"{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\#(pattern)"}, "behavior": "Isolated", "invert": false}, \#(bytes)]}"#
        }
        // With line ends themselves in it, as DeepSeek-V3's file has them.
        let deepSeek = ##"""
            {"type": "Sequence", "pretokenizers": [
              {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}"}, "behavior": "Isolated", "invert": false},
              {"type": "Split", "pattern": {"Regex": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"}, "behavior": "Isolated", "invert": false},
              {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex": "\##
            [!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?\##
            [\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
              {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
            """##
        // As DeepSeek-Coder's file has it.
        let coder = ##"""
            {"type": "Sequence", "pretokenizers": [
              {"type": "Split", "pattern": {"Regex": "[\r\n]"}, "behavior": "Isolated", "invert": false},
              {"type": "Split", "pattern": {"Regex": "\\s?\\p{L}+"}, "behavior": "Isolated", "invert": false},
              {"type": "Split", "pattern": {"Regex": "\\s?\\p{P}+"}, "behavior": "Isolated", "invert": false},
              {"type": "Split", "pattern": {"Regex": "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"}, "behavior": "Isolated", "invert": false},
              {"type": "Digits", "individual_digits": true},
              {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
            """##
        let known = [
            (coder, "deepseek-coder"), (deepSeek, "deepseek-v3"), (Self.gpt2, "gpt-2"), (digits, "smollm"),
            (split(numbers(#"\\p{N}{1,3}"#)), "llama-bpe"), (split(numbers(#"\\p{N}"#)), "qwen2"),
        ]
        for (preTokenizer, name) in known {
            #expect(try Self.entries(Self.tokenizer(preTokenizer))["tokenizer.ggml.pre"] == .string(name))
        }
        for unknown in [
            bytes, "null", split(#"\\p{N}"#), Self.gpt2.replacing("false", with: "true"), split(numbers(#"\\p{N}"#)).replacing("Isolated", with: "Removed"),
        ] {
            #expect(throws: GGUFError.self) { try Self.entries(Self.tokenizer(unknown)) }
        }
    }

    private static let bytes = (0..<256).map { "\"<0x\($0 < 16 ? "0" : "")\(String($0, radix: 16, uppercase: true))>\": \($0 + 3)" }.joined(separator: ", ")
    private static let spaces = #"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#

    /// A SentencePiece model's merges: scores go down by tokens, whose ways of being made stand together; runs of spaces have one score.
    private static func pieces(
        merges: String = #"["▁", "a"], ["a", "b"], ["▁", "▁▁"], ["▁", "▁"], ["▁▁", "▁"], ["▁a", "b"], ["▁", "ab"]"#,
        normalizer: String = #"{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, \#(spaces)]}"#, preTokenizer: String = "null",
        bytes: String = bytes
    ) -> [UInt8] {
        let words = ["▁", "a", "b", "▁a", "ab", "▁▁", "▁▁▁", "▁ab"].enumerated().map { "\"\($1)\": \($0 + 259)" }.joined(separator: ", ")
        let model = #"{"type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": {"<unk>": 0, \#(bytes), \#(words)}, "merges": [\#(merges)]}"#
        let tokens = [("<unk>", true), ("<s>", true), ("▁x", false)].enumerated()
        let added = tokens.map { #"{"id": \#($0), "content": "\#($1.0)", "special": \#($1.1)}"# }.joined(separator: ", ")
        return tokenizer(preTokenizer, model: model, normalizer: normalizer, added: "[\(added)]")
    }

    private static func pieceEntries(_ tokenizer: [UInt8]) throws -> [String: GGUFValue] {
        let metadata = try TokenizerMetadata(
            tokenizer: tokenizer, settings: Array(#"{"bos_token": "<s>", "add_bos_token": true}"#.utf8), configuration: Array("{}".utf8), chatTemplate: nil,
            vocabularySize: 268)
        return Dictionary(uniqueKeysWithValues: metadata.entries.map { ($0.key, $0.value) })
    }

    @Test func sentencePieceHasScores() throws {
        let entries = try Self.pieceEntries(Self.pieces())
        #expect(entries["tokenizer.ggml.model"] == .string("llama") && entries["tokenizer.ggml.pre"] == .string("default"))
        #expect(entries["tokenizer.ggml.merges"] == nil && entries["tokenizer.ggml.add_bos_token"] == .bool(true))
        #expect(entries["tokenizer.ggml.unknown_token_id"] == .uint32(0) && entries["tokenizer.ggml.add_space_prefix"] == .bool(true))
        guard case .strings(let tokens)? = entries["tokenizer.ggml.tokens"], case .float32s(let scores)? = entries["tokenizer.ggml.scores"],
            case .int32s(let types)? = entries["tokenizer.ggml.token_type"]
        else { throw GGUFError("lists are missing") }
        // A token of the user's as it stands in a text.
        #expect(tokens[0...3] == ["<unk>", "<s>", " x", "<0x00>"] && tokens[267] == "[PAD267]")
        #expect(types[0...3] == [2, 3, 4, 6] && types[258...260] == [6, 1, 1] && types[267] == 5)
        // Letters, ▁a, ab, runs of two and three, ▁ab.
        #expect(scores[259...] == [0, 0, 0, -1, -2, -3, -3, -4, -10000])
        #expect(try Self.pieceEntries(Self.pieces(normalizer: Self.spaces))["tokenizer.ggml.add_space_prefix"] == .bool(false))
        let atSpaces = #"{"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}"#
        #expect(try Self.pieceEntries(Self.pieces(normalizer: Self.spaces, preTokenizer: atSpaces))["tokenizer.ggml.add_space_prefix"] == .bool(false))
        let metaspace = { (rest: String) in #"{"type": "Metaspace", "replacement": "▁", \#(rest)}"# }
        for (rest, adds) in [(#""prepend_scheme": "first", "split": false"#, true), (#""prepend_scheme": "never", "split": false"#, false)] {
            let entries = try Self.pieceEntries(Self.pieces(normalizer: "null", preTokenizer: metaspace(rest)))
            #expect(entries["tokenizer.ggml.add_space_prefix"] == .bool(adds))
        }
        let refused = [
            // One way to make ▁ab is missing; those of ▁a are apart; no spaces; cuts at spaces; a byte is missing; other letters.
            Self.pieces(merges: #"["▁", "a"], ["a", "b"], ["▁", "▁"], ["▁▁", "▁"], ["▁", "▁▁"], ["▁", "ab"]"#),
            Self.pieces(merges: #"["▁a", "b"], ["▁", "a"], ["a", "b"], ["▁", "▁"], ["▁▁", "▁"], ["▁", "▁▁"], ["▁", "ab"]"#),
            Self.pieces(normalizer: "null"), Self.pieces(normalizer: "null", preTokenizer: metaspace(#""prepend_scheme": "first", "split": true"#)),
            Self.pieces(bytes: Self.bytes.replacing("<0x0A>", with: "<0x0a>")), Self.pieces(normalizer: #"{"type": "NFKC"}"#),
        ]
        for tokenizer in refused { #expect(throws: GGUFError.self) { try Self.pieceEntries(tokenizer) } }
    }

    @Test func whatLlamaCppWouldNotFollow() {
        let refused = [
            Self.tokenizer(model: #"{"type": "Unigram", "vocab": []}"#),
            Self.tokenizer(model: Self.model.replacing(#"[["a", "b"]]"#, with: "[]")), Self.tokenizer(normalizer: #"{"type": "Lowercase"}"#),
            Self.tokenizer(added: #"[{"id": 8, "content": "beyond"}]"#), Array("{".utf8),
        ]
        for tokenizer in refused { #expect(throws: GGUFError.self) { try Self.entries(tokenizer) } }
    }
}
