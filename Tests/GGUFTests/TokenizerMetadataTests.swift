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
        let known = [
            (Self.gpt2, "gpt-2"), (digits, "smollm"), (split(numbers(#"\\p{N}{1,3}"#)), "llama-bpe"), (split(numbers(#"\\p{N}"#)), "qwen2"),
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

    @Test func whatLlamaCppWouldNotFollow() {
        let refused = [
            Self.tokenizer(model: #"{"type": "Unigram", "vocab": []}"#), Self.tokenizer(model: Self.model.replacing("}", with: #"}, "byte_fallback": true"#)),
            Self.tokenizer(model: Self.model.replacing(#"[["a", "b"]]"#, with: "[]")), Self.tokenizer(normalizer: #"{"type": "Lowercase"}"#),
            Self.tokenizer(added: #"[{"id": 8, "content": "beyond"}]"#), Array("{".utf8),
        ]
        for tokenizer in refused { #expect(throws: GGUFError.self) { try Self.entries(tokenizer) } }
    }
}
