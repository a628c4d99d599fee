// By which name llama.cpp knows how a tokenizer cuts text into words.

internal import JSON

/// Names are known by the parts of a tokenizer.json that cut: llama.cpp has code of its own for each, and takes no patterns from files.
enum PreTokenizerName {
    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let rest = #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// Letters that have cases, but for Georgian ones, as the tokenizers of DeepSeek-LLM and DeepSeek-V2 list them.
    private static let lettersWithCases =
        "A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}"
        + "\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}"
        + "\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}"
        + "\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}"
        + "\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}"
        + "\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}"
        + "\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}"
        + "\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}"
        + "\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}"
        + "\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}"
    private static let numbersAndIdeographs = ["split at [一-龥\u{800}-一가-\u{D7FF}]+", "digits one by one", "bytes"]

    /// Source: llama.cpp, `llama-vocab.cpp`, the patterns of `llm_tokenizer_bpe`.
    private static let known = [
        "gpt-2": ["bytes by gpt-2's pattern"],
        "smollm": ["digits one by one", "bytes by gpt-2's pattern"],
        "llama-bpe": [#"split at \#(contractions)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\#(rest)"#, "bytes"],
        "deepseek-coder": [#"split at [\r\n]"#, #"split at \s?\p{L}+"#, #"split at \s?\p{P}+"#] + numbersAndIdeographs,
        "deepseek-llm": [
            #"split at [\r\n]"#, #"split at \s?["# + lettersWithCases + "]+", "split at \\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+", #"split at \s+$"#,
        ] + numbersAndIdeographs,
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

    /// A merge that llama.cpp would make and the tokenizer never does; nil: there is none.
    ///
    /// Under `deepseek-llm` llama.cpp leaves numbers whole, and the tokenizer cuts between their digits.
    static func strayMerge(_ name: String, _ merges: [(left: String, right: String)]) -> (left: String, right: String)? {
        guard name == "deepseek-llm" else { return nil }
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return merges.first { $0.left.utf8.last.map(digits.contains) == true && $0.right.utf8.first.map(digits.contains) == true }
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
