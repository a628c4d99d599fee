// The tokens of a tokenizer.json by their ids, their kinds in llama.cpp, and the merges that make them.

internal import JSON

/// What llama.cpp calls kinds of tokens. Source: llama.cpp, `llama.h` (`enum llama_token_type`).
enum TokenType: Int32 {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
}

/// Tokens by their ids; ids without one have placeholders.
struct TokenizerVocabulary {
    private(set) var tokens: [String]
    private(set) var types: [TokenType]
    /// By UTF-8: Swift takes texts for equal that differ in it.
    private(set) var ids: [[UInt8]: Int] = [:]

    /// - Parameters:
    ///   - added: `added_tokens`.
    ///   - size: rows of the embedding.
    ///   - hasBytes: whether tokens such as `<0x0A>` stand for bytes.
    init(_ model: JSONValue, _ added: [JSONValue], size: Int, hasBytes: Bool) throws(GGUFError) {
        tokens = (0..<size).map { "[PAD\($0)]" }
        types = Array(repeating: .unused, count: size)
        for (text, id) in model["vocab"]?.object ?? [] { try set(text, id.integer, .normal) }
        for token in added {
            guard let text = token["content"]?.string else { throw GGUFError("tokenizer.json has an added token without `content`") }
            let looksSpecial = text.hasPrefix("<|") && text.hasSuffix("|>")
            try set(text, token["id"]?.integer, token["special"]?.boolean == true || looksSpecial ? .control : .userDefined)
        }
        guard hasBytes else { return }
        for byte in 0..<256 {
            let name = Self.name(ofByte: byte)
            if ids[Array(name.utf8)] != nil { try set(name, ids[Array(name.utf8)], .byte) }
        }
        if let unknown = model["unk_token"]?.string, let id = ids[Array(unknown.utf8)] { types[id] = .unknown }
    }

    private mutating func set(_ text: String, _ id: Int?, _ type: TokenType) throws(GGUFError) {
        guard let id, tokens.indices.contains(id) else {
            throw GGUFError(
                "tokenizer.json gives \"\(text)\" the id \(id.map(String.init) ?? "null"), and the embedding has rows for 0 to \(tokens.count - 1)")
        }
        (tokens[id], types[id], ids[Array(text.utf8)]) = (text, type, id)
    }

    /// The token that stands for a byte.
    static func name(ofByte byte: Int) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x\(byte < 16 ? "0" : "")\(digits)>"
    }

    /// The pairs that become one token, those that are joined first before others.
    static func merges(_ model: JSONValue) throws(GGUFError) -> [(left: String, right: String)] {
        var merges: [(left: String, right: String)] = []
        for merge in model["merges"]?.array ?? [] {
            let parts = merge.array?.compactMap(\.string) ?? merge.string?.split(separator: " ", omittingEmptySubsequences: false).map(String.init) ?? []
            guard parts.count == 2 else { throw GGUFError("tokenizer.json has a merge that is neither a text nor two of them") }
            merges.append((parts[0], parts[1]))
        }
        guard !merges.isEmpty else { throw GGUFError("tokenizer.json has no merges, without which llama.cpp takes no byte-pair tokenizer") }
        return merges
    }
}
