// SentencePiece's byte-pair tokenizers, as a tokenizer.json has them, in llama.cpp's terms: a score for each token in place of a list of merges.

internal import JSON

/// Scores, and what a tokenizer.json says that llama.cpp needs to know.
///
/// llama.cpp joins the neighbours whose text is the token of the highest score, tokenizer.json's those of the earliest merge. Both give the same ids where the
/// merges are all ways to make each token of two others, those of a token together: then the place of a token's first merge is its score. Runs of spaces have one
/// score in SentencePiece models, so their merges may lie among each other. Such files come of SentencePiece models; others are refused.
///
/// Source: llama.cpp, `llama-vocab.cpp` (`llm_tokenizer_spm_session`), and huggingface/transformers, `convert_slow_tokenizer.py` (`generate_merges`).
struct SentencePieceVocabulary {
    private static let space = "\u{2581}"
    /// Of tokens that are not there, as llama.cpp's converter has it.
    private static let scoreOfPlaceholder: Float = -10000

    /// By id; those of the user as llama.cpp looks for them: in the text itself.
    let tokens: [String]
    /// By id.
    let scores: [Float]
    /// Whether a space is put before a text.
    let addsSpace: Bool

    /// - Parameters:
    ///   - tokenizer: tokenizer.json.
    ///   - vocabulary: its tokens.
    init(_ tokenizer: JSONValue, _ model: JSONValue, _ vocabulary: TokenizerVocabulary) throws(GGUFError) {
        guard let addsSpace = Self.addsSpace(tokenizer["normalizer"], tokenizer["pre_tokenizer"]) else {
            throw GGUFError(
                "tokenizer.json has a `normalizer` or `pre_tokenizer` that llama.cpp's `llama` tokenizer does not follow: it makes \"\(Self.space)\" of spaces, with "
                    + "one before a text or none, and cuts nothing")
        }
        self.addsSpace = addsSpace
        for byte in 0..<256 where vocabulary.ids[Array(TokenizerVocabulary.name(ofByte: byte).utf8)] == nil {
            throw GGUFError("tokenizer.json has `byte_fallback` and no token \(TokenizerVocabulary.name(ofByte: byte)), which llama.cpp needs")
        }
        tokens = zip(vocabulary.tokens, vocabulary.types).map { $1 == .userDefined ? $0.replacing(Self.space, with: " ") : $0 }
        scores = try Self.scores(model, vocabulary)
    }

    // MARK: - Scores

    private static func scores(_ model: JSONValue, _ vocabulary: TokenizerVocabulary) throws(GGUFError) -> [Float] {
        var scores = [Float](repeating: 0, count: vocabulary.tokens.count)
        for (id, type) in vocabulary.types.enumerated() where type == .unused { scores[id] = scoreOfPlaceholder }
        var merges = [Int](repeating: 0, count: vocabulary.tokens.count), last: Int?, rank = 0, rankOfRuns: Int?
        for merge in try TokenizerVocabulary.merges(model) {
            let text = merge.left + merge.right
            guard let id = vocabulary.ids[Array(text.utf8)] else { throw GGUFError("tokenizer.json has a merge to \"\(text)\", which is no token") }
            if id != last {
                let isRun = text.unicodeScalars.allSatisfy { $0 == "\u{2581}" }
                guard merges[id] == 0 || isRun else { throw disorder(text) }
                if !isRun || rankOfRuns == nil { rank += 1 }
                // Others between them would come before some and after others.
                if isRun, let other = rankOfRuns, other != rank { throw disorder(text) }
                if isRun { rankOfRuns = rank }
                scores[id] = -Float(rank)
                last = id
            }
            merges[id] += 1
        }
        for (id, text) in vocabulary.tokens.enumerated() where vocabulary.types[id] == .normal {
            guard merges[id] == ways(Array(text.utf8), vocabulary) else { throw disorder(text) }
        }
        return scores
    }

    /// In how many ways a token is made of two others that texts are cut into.
    private static func ways(_ token: [UInt8], _ vocabulary: TokenizerVocabulary) -> Int {
        var count = 0
        for cut in token.indices.dropFirst() where token[cut] & 0xc0 != 0x80 {
            if isPart(Array(token[..<cut]), vocabulary), isPart(Array(token[cut...]), vocabulary) { count += 1 }
        }
        return count
    }

    private static func isPart(_ text: [UInt8], _ vocabulary: TokenizerVocabulary) -> Bool {
        vocabulary.ids[text].map { vocabulary.types[$0] == .normal } ?? false
    }

    private static func disorder(_ token: String) -> GGUFError {
        GGUFError(
            "the merges of tokenizer.json to \"\(token)\" are not all that there are, or not next to each other: llama.cpp, which goes by scores of tokens, would cut "
                + "texts into others")
    }

    // MARK: - Spaces

    /// Whether a space is put before a text; nil for what llama.cpp does not do.
    private static func addsSpace(_ normalizer: JSONValue?, _ preTokenizer: JSONValue?) -> Bool? {
        switch normalizer.map(steps) ?? [] {
        case []:
            guard let cuts = preTokenizer, cuts["type"]?.string == "Metaspace", cuts["replacement"]?.string == space, cuts["split"]?.boolean == false else {
                return nil
            }
            switch cuts["prepend_scheme"]?.string {
            case "always", "first": return true
            case "never": return false
            default: return nil
            }
        // Spaces are gone before they could be cut at.
        case ["replace"]:
            let cutsAtSpaces = preTokenizer?["type"]?.string == "Split" && preTokenizer?["pattern"]?["String"]?.string == " "
            return preTokenizer == nil || cutsAtSpaces ? false : nil
        case ["prepend", "replace"]: return preTokenizer == nil ? true : nil
        default: return nil
        }
    }

    private static func steps(_ value: JSONValue) -> [String] {
        switch value["type"]?.string {
        case "Sequence": value["normalizers"]?.array?.flatMap(steps) ?? ["unknown"]
        case "Prepend": value["prepend"]?.string == space ? ["prepend"] : ["unknown"]
        case "Replace": value["pattern"]?["String"]?.string == " " && value["content"]?.string == space ? ["replace"] : ["unknown"]
        default: ["unknown"]
        }
    }
}
