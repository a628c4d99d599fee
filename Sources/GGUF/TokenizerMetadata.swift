// A tokenizer as GGUF's metadata: vocabulary, merges, special tokens, chat template.

internal import JSON

/// The metadata of a byte-level BPE tokenizer. Source: llama.cpp, `conversion/base.py` (`_set_vocab_gpt2`), and gguf, `vocab.py` (`SpecialVocab`).
public struct TokenizerMetadata: Sendable {
    public let entries: [GGUFEntry]

    /// What llama.cpp calls kinds of tokens.
    private enum TokenType: Int32 {
        case normal = 1
        case control = 3
        case userDefined = 4
        case unused = 5
    }

    /// - Parameters:
    ///   - tokenizer: tokenizer.json; both texts as they are in their files.
    ///   - settings: tokenizer_config.json; nil: there is none.
    ///   - configuration: config.json.
    ///   - chatTemplate: chat_template.jinja, where there is one.
    ///   - vocabularySize: rows of the embedding; ids without a token get placeholders.
    /// - Throws: `GGUFError` for tokenizers that llama.cpp would not follow.
    public init(tokenizer: [UInt8], settings: [UInt8]?, configuration: [UInt8], chatTemplate: String?, vocabularySize: Int) throws(GGUFError) {
        let tokenizer = try Self.parse(tokenizer, "tokenizer.json"), configuration = try Self.parse(configuration, "config.json")
        let settings = try settings.map { settings throws(GGUFError) in try Self.parse(settings, "tokenizer_config.json") }
        guard let model = tokenizer["model"], model["type"]?.string == "BPE", model["byte_fallback"]?.boolean != true else {
            throw GGUFError(
                "tokenizer.json has a model of type \(tokenizer["model"]?["type"]?.string ?? "unknown")\(tokenizer["model"]?["byte_fallback"]?.boolean == true ? " with byte_fallback" : ""); what GGUF results take is byte-level BPE"
            )
        }
        guard let name = PreTokenizerName.of(tokenizer["pre_tokenizer"]) else {
            throw GGUFError(
                "the `pre_tokenizer` of tokenizer.json is none of those whose name in llama.cpp is known here (\(PreTokenizerName.names)), and under another name "
                    + "llama.cpp would cut texts elsewhere")
        }
        if let normalizer = tokenizer["normalizer"], normalizer["type"]?.string != "NFC" {
            throw GGUFError("tokenizer.json has a normalizer of type \(normalizer["type"]?.string ?? "unknown"), which llama.cpp does not apply")
        }
        let vocabulary = try Vocabulary(model, tokenizer["added_tokens"]?.array ?? [], size: vocabularySize)
        var entries = [
            GGUFEntry("tokenizer.ggml.model", .string("gpt2")), GGUFEntry("tokenizer.ggml.pre", .string(name)),
            GGUFEntry("tokenizer.ggml.tokens", .strings(vocabulary.tokens)), GGUFEntry("tokenizer.ggml.token_type", .int32s(vocabulary.types)),
            GGUFEntry("tokenizer.ggml.merges", .strings(try Self.merges(model))),
        ]
        let first = Self.addedTokens(tokenizer["post_processor"])
        for (kind, key) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
            let named = settings?["\(kind)_token"].flatMap { $0.string ?? $0["content"]?.string }.flatMap { vocabulary.ids[Array($0.utf8)] }
            let numbered = configuration["\(kind)_token_id"].flatMap { $0.integer ?? $0.array?.first?.integer }
            guard let id = named ?? numbered, (0..<vocabularySize).contains(id) else { continue }
            entries.append(GGUFEntry("tokenizer.ggml.\(key)_token_id", .uint32(UInt32(id))))
        }
        // llama.cpp has defaults by the tokenizer's name, so both are always said.
        entries.append(GGUFEntry("tokenizer.ggml.add_bos_token", .bool(first?.before ?? settings?["add_bos_token"]?.boolean ?? false)))
        entries.append(GGUFEntry("tokenizer.ggml.add_eos_token", .bool(first?.after ?? settings?["add_eos_token"]?.boolean ?? false)))
        if let template = chatTemplate ?? Self.template(settings?["chat_template"]) {
            entries.append(GGUFEntry("tokenizer.chat_template", .string(template)))
        }
        self.entries = entries
    }

    private static func parse(_ text: [UInt8], _ file: String) throws(GGUFError) -> JSONValue {
        var scanner = JSONScanner(text)
        do {
            // Keys of a vocabulary differ by bytes, which Swift's strings do not.
            let value = try scanner.value(allowsEqualKeys: true)
            try scanner.end()
            return value
        } catch {
            throw GGUFError("\(file) is not valid JSON: line \(error.line(in: text)): \(error.reason)")
        }
    }

    /// Whether tokens stand before and after a text; nil where the tokenizer has no template that says it.
    private static func addedTokens(_ processor: JSONValue?) -> (before: Bool, after: Bool)? {
        guard let processor else { return nil }
        if processor["type"]?.string == "Sequence" { return processor["processors"]?.array?.lazy.compactMap(addedTokens).first }
        guard processor["type"]?.string == "TemplateProcessing", let single = processor["single"]?.array,
            let text = single.firstIndex(where: { $0["Sequence"] != nil })
        else { return nil }
        return (text > 0, text < single.count - 1)
    }

    private static func merges(_ model: JSONValue) throws(GGUFError) -> [String] {
        var merges: [String] = []
        for merge in model["merges"]?.array ?? [] {
            let parts = merge.array?.compactMap(\.string) ?? []
            guard let text = merge.string ?? (parts.count == 2 ? parts.joined(separator: " ") : nil) else {
                throw GGUFError("tokenizer.json has a merge that is neither a text nor two of them")
            }
            merges.append(text)
        }
        guard !merges.isEmpty else { throw GGUFError("tokenizer.json has no merges, without which llama.cpp takes no byte-level BPE") }
        return merges
    }

    /// A template, or that of the name `default` of several.
    private static func template(_ value: JSONValue?) -> String? {
        value?.string ?? value?.array?.first { $0["name"]?.string == "default" }?["template"]?.string
    }

    /// Tokens by their ids.
    private struct Vocabulary {
        var tokens: [String]
        var types: [Int32]
        /// By UTF-8: Swift takes texts for equal that differ in it.
        var ids: [[UInt8]: Int] = [:]

        init(_ model: JSONValue, _ added: [JSONValue], size: Int) throws(GGUFError) {
            tokens = (0..<size).map { "[PAD\($0)]" }
            types = Array(repeating: TokenType.unused.rawValue, count: size)
            for (text, id) in model["vocab"]?.object ?? [] { try set(text, id.integer, .normal) }
            for token in added {
                guard let text = token["content"]?.string else { throw GGUFError("tokenizer.json has an added token without `content`") }
                let looksSpecial = text.hasPrefix("<|") && text.hasSuffix("|>")
                try set(text, token["id"]?.integer, token["special"]?.boolean == true || looksSpecial ? .control : .userDefined)
            }
        }

        private mutating func set(_ text: String, _ id: Int?, _ type: TokenType) throws(GGUFError) {
            guard let id, tokens.indices.contains(id) else {
                throw GGUFError(
                    "tokenizer.json gives \"\(text)\" the id \(id.map(String.init) ?? "null"), and the embedding has rows for 0 to \(tokens.count - 1)")
            }
            (tokens[id], types[id], ids[Array(text.utf8)]) = (text, type.rawValue, id)
        }
    }
}
