// Reading the `added_tokens` of a tokenizer.json and giving them ids the way the reference library does.

internal import RegularExpressions

extension AddedToken {
    /// Ids follow the reference library (`AddedVocabulary::add_tokens`): that of the model's vocabulary, else the next free one. A file
    /// that declares other ids would be encoded differently from what its author saw, so it is refused.
    static func read(_ node: JSONNode?, vocabulary: [[UInt8]: Int32]) throws(TokenizerError) -> [AddedToken] {
        var byID: [Int32: AddedToken] = [:]
        var added: [[UInt8]: Int32] = [:]
        for element in try node?.elements() ?? [] {
            try element.allowOnly(["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"])
            let content = try element.required("content").text()
            guard !content.isEmpty else { throw element.error("the content of an added token is empty.") }
            let declared = try element.required("id").tokenID()
            let id = vocabulary[content] ?? added[content] ?? Int32(clamping: vocabulary.count + added.count)
            guard id == declared else {
                throw element.error(
                    "the added token \"\(String(decoding: content, as: UTF8.self))\" declares the id \(declared), but vocabulary and "
                        + "order give it \(id); correct the id or the order.")
            }
            if vocabulary[content] == nil { added[content] = id }
            byID[id] = AddedToken(
                content: content, id: id,
                singleWord: try element.required("single_word").bool(),
                stripsLeft: try element.required("lstrip").bool(),
                stripsRight: try element.required("rstrip").bool(),
                isNormalized: try element.required("normalized").bool())
        }
        return byID.values.sorted { $0.id < $1.id }
    }
}

extension AddedTokenSplitter {
    /// A splitter for the raw text.
    init(raw tokens: [AddedToken]) {
        let tokens = tokens.filter { !$0.isNormalized }
        self.init(tokens: tokens, spellings: tokens.map(\.content))
    }

    /// A splitter for the normalized text.
    init(normalized tokens: [AddedToken], normalizer: Normalizer, at node: JSONNode) throws(TokenizerError) {
        let tokens = tokens.filter(\.isNormalized)
        var spellings: [[UInt8]] = []
        var seen: Set<[UInt8]> = []
        for token in tokens {
            let name = String(decoding: token.content, as: UTF8.self)
            let spelling: [UInt8]
            do {
                spelling = try normalizer.normalize(token.content)
            } catch {
                throw node.error("normalizing the added token \"\(name)\" failed: \(error.message).")
            }
            guard !spelling.isEmpty, seen.insert(spelling).inserted else {
                throw node.error("the added token \"\(name)\" is empty or equal to another one after normalization.")
            }
            spellings.append(spelling)
        }
        self.init(tokens: tokens, spellings: spellings)
    }
}
