// A tokenizer as GGUF's metadata: vocabulary, merges, special tokens, chat template.

internal import JSON

/// The metadata of a byte-pair tokenizer: byte-level, or SentencePiece's with bytes for what it does not know.
///
/// Source: llama.cpp, `conversion/base.py` (`_set_vocab_gpt2`, `_set_vocab_sentencepiece`), and gguf, `vocab.py` (`SpecialVocab`).
public struct TokenizerMetadata: Sendable {
    public let entries: [GGUFEntry]

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
        guard let model = tokenizer["model"], model["type"]?.string == "BPE" else {
            throw GGUFError("tokenizer.json has a model of type \(tokenizer["model"]?["type"]?.string ?? "unknown"); what GGUF results take is BPE")
        }
        let hasBytes = model["byte_fallback"]?.boolean == true
        let vocabulary = try TokenizerVocabulary(model, tokenizer["added_tokens"]?.array ?? [], size: vocabularySize, hasBytes: hasBytes)
        var entries = try hasBytes ? Self.sentencePiece(tokenizer, model, vocabulary) : Self.byteLevel(tokenizer, model, vocabulary)
        let first = Self.addedTokens(tokenizer["post_processor"])
        for (kind, key) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
            let named = settings?["\(kind)_token"].flatMap { $0.string ?? $0["content"]?.string } ?? model["\(kind)_token"]?.string
            let numbered = configuration["\(kind)_token_id"].flatMap { $0.integer ?? $0.array?.first?.integer }
            guard let id = named.flatMap({ vocabulary.ids[Array($0.utf8)] }) ?? numbered, (0..<vocabularySize).contains(id) else { continue }
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

    private static func byteLevel(_ tokenizer: JSONValue, _ model: JSONValue, _ vocabulary: TokenizerVocabulary) throws(GGUFError) -> [GGUFEntry] {
        guard let name = PreTokenizerName.of(tokenizer["pre_tokenizer"]) else {
            throw GGUFError(
                "the `pre_tokenizer` of tokenizer.json is none of those whose name in llama.cpp is known here (\(PreTokenizerName.names)), and under another name "
                    + "llama.cpp would cut texts elsewhere")
        }
        if let normalizer = tokenizer["normalizer"], normalizer["type"]?.string != "NFC" {
            throw GGUFError("tokenizer.json has a normalizer of type \(normalizer["type"]?.string ?? "unknown"), which llama.cpp does not apply")
        }
        let merges = try TokenizerVocabulary.merges(model)
        if let merge = PreTokenizerName.strayMerge(name, merges) {
            throw GGUFError(
                "tokenizer.json cuts between digits and has a merge of \"\(merge.left)\" and \"\(merge.right)\", which llama.cpp would make: as `\(name)` it leaves "
                    + "numbers whole")
        }
        return [
            GGUFEntry("tokenizer.ggml.model", .string("gpt2")), GGUFEntry("tokenizer.ggml.pre", .string(name)),
            GGUFEntry("tokenizer.ggml.tokens", .strings(vocabulary.tokens)), types(vocabulary),
            GGUFEntry("tokenizer.ggml.merges", .strings(merges.map { "\($0.left) \($0.right)" })),
        ]
    }

    private static func sentencePiece(_ tokenizer: JSONValue, _ model: JSONValue, _ vocabulary: TokenizerVocabulary) throws(GGUFError) -> [GGUFEntry] {
        let pieces = try SentencePieceVocabulary(tokenizer, model, vocabulary)
        return [
            GGUFEntry("tokenizer.ggml.model", .string("llama")), GGUFEntry("tokenizer.ggml.pre", .string("default")),
            GGUFEntry("tokenizer.ggml.tokens", .strings(pieces.tokens)), GGUFEntry("tokenizer.ggml.scores", .float32s(pieces.scores)),
            types(vocabulary), GGUFEntry("tokenizer.ggml.add_space_prefix", .bool(pieces.addsSpace)),
        ]
    }

    private static func types(_ vocabulary: TokenizerVocabulary) -> GGUFEntry {
        GGUFEntry("tokenizer.ggml.token_type", .int32s(vocabulary.types.map(\.rawValue)))
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

    /// A template, or that of the name `default` of several.
    private static func template(_ value: JSONValue?) -> String? {
        value?.string ?? value?.array?.first { $0["name"]?.string == "default" }?["template"]?.string
    }
}
