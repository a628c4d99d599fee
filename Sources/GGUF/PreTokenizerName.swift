// By which name llama.cpp knows how a tokenizer cuts text into words.

internal import JSON

/// Names are known by the parts of a tokenizer.json that cut: llama.cpp has code of its own for each, and takes no patterns from files.
enum PreTokenizerName {
    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let rest = #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// Source: llama.cpp, `llama-vocab.cpp`, the patterns of `llm_tokenizer_bpe`.
    private static let known = [
        "gpt-2": ["bytes by gpt-2's pattern"],
        "smollm": ["digits one by one", "bytes by gpt-2's pattern"],
        "llama-bpe": [#"split at \#(contractions)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\#(rest)"#, "bytes"],
        "deepseek-v3": [
            #"split at \p{N}{1,3}"#, "split at [一-龥\u{3040}-ゟ゠-ヿ]+",
            ##"split at [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
            "bytes",
        ],
        "qwen2": [#"split at \#(contractions)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|\#(rest)"#, "bytes"],
    ]

    static var names: String { known.keys.sorted().joined(separator: ", ") }

    /// - Parameter preTokenizer: of a tokenizer.json.
    /// - Returns: nil for what llama.cpp has no name for that is known here.
    static func of(_ preTokenizer: JSONValue?) -> String? {
        guard let preTokenizer else { return nil }
        let found = parts(preTokenizer)
        return known.first { $0.value == found }?.key
    }

    /// What cuts, in words; nil for a part that no known tokenizer has.
    private static func parts(_ value: JSONValue) -> [String]? {
        switch value["type"]?.string {
        case "Sequence":
            let parts = value["pretokenizers"]?.array?.map(parts) ?? []
            return parts.contains { $0 == nil } ? nil : parts.flatMap { $0 ?? [] }
        case "ByteLevel":
            guard value["add_prefix_space"]?.boolean == false else { return nil }
            return [value["use_regex"]?.boolean == false ? "bytes" : "bytes by gpt-2's pattern"]
        case "Digits": return value["individual_digits"]?.boolean == true ? ["digits one by one"] : nil
        case "Split":
            guard value["behavior"]?.string == "Isolated", value["invert"]?.boolean != true, let pattern = value["pattern"]?["Regex"]?.string else {
                return nil
            }
            // Some files have line ends themselves where others have escapes.
            return ["split at " + pattern.unicodeScalars.map { $0 == "\r" ? "\\r" : $0 == "\n" ? "\\n" : String($0) }.joined()]
        default: return nil
        }
    }
}
