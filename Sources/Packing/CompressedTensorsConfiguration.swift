// What compressed-tensors' `quantization_config` says of each linear; what it says beyond that, and changes what a model computes, is refused by name.

internal import Compression
internal import Foundation
internal import JSON

/// The schemes of a checkpoint, and to which linears each applies.
///
/// Source: compressed-tensors, `quantization/quant_config.py`, `quant_scheme.py`, `quant_args.py` for the keys; `utils/match.py` for which scheme applies.
struct CompressedTensorsConfiguration: Sendable {
    /// How weights of one group are stored.
    enum Scheme: Sendable, Hashable {
        /// Integers in words (`pack-quantized`).
        case codes(CompressedTensorsScheme)
        case numbers(CompressedTensorsNumbers)
    }

    private let schemes: [Scheme]
    /// Targets that are names of linears or of classes -> place in `schemes`.
    private let schemeOfText: [String: Int]
    /// Targets that are regular expressions, in the order in which clients try them: that of their texts.
    private let patterns: [(pattern: NSRegularExpression, scheme: Int)]
    private let ignored: Set<String>
    private let ignoredPatterns: [NSRegularExpression]

    /// The classes of torch that a linear is an instance of.
    private static let classes = ["Linear", "Module"]

    init(_ quantization: JSONValue) throws(PackingError) {
        try Self.checkFrame(quantization)
        let groups = quantization["config_groups"]?.object ?? []
        // A checkpoint may have scales of keys and values alone.
        guard !groups.isEmpty || Self.cacheScheme(quantization) != nil else {
            throw PackingError("`quantization_config` has no `config_groups`, which say how weights are compressed")
        }
        let padsThreeBits = try Self.padsThreeBits(quantization)
        let format = quantization["format"]?.string.flatMap { CompressedTensorsNumbers.formats.contains($0) ? $0 : nil }
        var schemes: [Scheme] = []
        var places: [String: Int] = [:]
        for (name, group) in groups {
            let place = "config_groups.\(name)"
            let own = group["format"]?.string.map { CompressedTensorsNumbers.formats.contains($0) ? $0 : nil }
            let scheme: Scheme
            if let numbers = try CompressedTensorsNumbers(group, format: own ?? format, place: place) {
                scheme = .numbers(numbers)
            } else if let codes = try CompressedTensorsScheme(group, preset: name, place: place) {
                scheme = .codes(codes)
            } else {
                continue
            }
            if case .codes(let codes) = scheme, codes.bits == 3, padsThreeBits {
                throw PackingError("`\(place)` has codes of 3 bits with padding, as compressed-tensors wrote them before 0.18; write the checkpoint anew")
            }
            for target in try CompressedTensorsScheme.targets(group, place: place) {
                if let other = places[target], schemes[other] != scheme {
                    throw PackingError("two of `config_groups` say different things of `\(target)`")
                }
                places[target] = schemes.count
            }
            schemes.append(scheme)
        }
        self.schemes = schemes
        schemeOfText = places.filter { !$0.key.hasPrefix("re:") }
        var patterns: [(pattern: NSRegularExpression, scheme: Int)] = []
        for (text, scheme) in places.sorted(by: { $0.key < $1.key }) where text.hasPrefix("re:") { patterns.append((try Self.pattern(text), scheme)) }
        self.patterns = patterns
        ignored = Set(quantization["ignore"]?.array?.compactMap(\.string) ?? [])
        var ignoredPatterns: [NSRegularExpression] = []
        for text in ignored.sorted() where text.hasPrefix("re:") { ignoredPatterns.append(try Self.pattern(text)) }
        self.ignoredPatterns = ignoredPatterns
    }

    /// The scheme of a linear whose codes are there.
    /// - Throws: when clients would look for a plain weight.
    func scheme(_ linear: String) throws(PackingError) -> CompressedTensorsScheme {
        guard case .codes(let scheme)? = applying(linear) else { throw PackingError("config.json names no scheme for the compressed linear \(linear)") }
        if isIgnored(linear) { throw PackingError("`ignore` says that \(linear) is not compressed, but its codes are there") }
        return scheme
    }

    /// Whether clients look for codes of this linear.
    func compresses(_ linear: String) -> Bool {
        guard !isIgnored(linear), case .codes? = applying(linear) else { return false }
        return true
    }

    /// What `kv_cache_scheme` says, in a few words: `float 8 bits by tensor`; nil where it says nothing.
    static func cacheScheme(_ quantization: JSONValue) -> String? {
        guard let scheme = quantization["kv_cache_scheme"], !scheme.saysNothing else { return nil }
        func text(_ key: String, _ absent: String) -> String { scheme[key].map(\.plainText) ?? absent }
        return "\(text("type", "int")) \(text("num_bits", "8")) bits by \(text("strategy", "tensor"))"
    }

    /// All schemes of numbers times scales.
    var numbers: [CompressedTensorsNumbers] {
        schemes.compactMap { if case .numbers(let numbers) = $0 { numbers } else { nil } }
    }

    /// All schemes of packed integers.
    var codes: [CompressedTensorsScheme] {
        schemes.compactMap { if case .codes(let codes) = $0 { codes } else { nil } }
    }

    /// Whether some scheme has packed integers.
    var hasCodes: Bool { !codes.isEmpty }

    /// The scheme of a linear whose numbers are there; nil where there is none of that kind.
    /// - Throws: when clients would look for a plain weight.
    func numbers(_ linear: String) throws(PackingError) -> CompressedTensorsNumbers? {
        guard case .numbers(let numbers)? = applying(linear) else { return nil }
        if isIgnored(linear) { throw PackingError("`ignore` says that \(linear) is not compressed, but its numbers and scales are there") }
        return numbers
    }

    private func applying(_ linear: String) -> Scheme? {
        // From the most to the least specific: a name, a pattern, a class.
        let place =
            schemeOfText[linear] ?? patterns.first { Self.matches(linear, $0.pattern) }?.scheme
            ?? Self.classes.sorted().lazy.compactMap { schemeOfText[$0] }.first
        return place.map { schemes[$0] }
    }

    private func isIgnored(_ linear: String) -> Bool {
        ignored.contains(linear) || Self.classes.contains(where: ignored.contains) || ignoredPatterns.contains { Self.matches(linear, $0) }
    }

    // MARK: - Patterns

    private static func matches(_ name: String, _ pattern: NSRegularExpression) -> Bool {
        pattern.firstMatch(in: name, range: NSRange(name.startIndex..., in: name)) != nil
    }

    /// The regular expression after `re:`, which matches from a name's start.
    private static func pattern(_ text: String) throws(PackingError) -> NSRegularExpression {
        do {
            return try NSRegularExpression(pattern: "^(?:\(text.dropFirst(3)))")
        } catch {
            throw PackingError("`\(text)` in `quantization_config` is no regular expression that can be read")
        }
    }

    // MARK: - What surrounds the schemes

    /// Keys that change nothing of what the model computes: who wrote the file, how clients shall keep it in memory.
    private static let remarks: Set = [
        "quant_method", "global_compression_ratio", "version", "run_compressed", "dequantize", "use_optimized_inference",
    ]

    private static func checkFrame(_ quantization: JSONValue) throws(PackingError) {
        guard quantization["quantization_status"]?.string == "compressed" else {
            throw PackingError(
                "`quantization_config.quantization_status` is `\(quantization["quantization_status"]?.plainText ?? "absent")`, so that transformers looks for "
                    + "plain weights and makes them up; where codes are there, set it to `compressed`")
        }
        for (key, value) in quantization.object ?? [] where !remarks.contains(key) && !value.saysNothing {
            switch key {
            case "config_groups", "ignore": break
            case "format":
                // A summary of the groups' formats; "dense" is what clients write where there is none.
                let readable = CompressedTensorsNumbers.formats.union(["pack-quantized", "mixed-precision", "dense"])
                guard value.string.map(readable.contains) == true else {
                    throw PackingError(
                        "`quantization_config.format` is `\(value.plainText)`; what can be read is \(readable.sorted().joined(separator: ", "))")
                }
            case "quantization_status": break
            // How servers keep keys and values changes no weight.
            case "kv_cache_scheme": break
            case "transform_config":
                guard value["config_groups"]?.saysNothing ?? true else {
                    throw PackingError("`quantization_config.transform_config` asks for transforms (such as rotations), which Cleave does not compute")
                }
            case "sparsity_config":
                guard value["format"].map({ $0.string == "dense" }) ?? true else {
                    throw PackingError(
                        "`quantization_config.sparsity_config` says that weights are stored as `\(value["format"]?.plainText ?? "")`, which cannot be read")
                }
            default:
                throw PackingError("`quantization_config.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
    }

    /// Whether the version that wrote the checkpoint put no more than 10 codes of 3 bits into a word.
    private static func padsThreeBits(_ quantization: JSONValue) throws(PackingError) -> Bool {
        let numbers = quantization["version"]?.string?.split(separator: ".").prefix(2).compactMap { Int($0) } ?? []
        return numbers.count == 2 && (numbers[0], numbers[1]) < (0, 18)
    }
}

extension JSONValue {
    /// Null, or an empty object or list: what stands for a key that was left out.
    var saysNothing: Bool {
        switch self {
        case .null: true
        case .object(let entries): entries.isEmpty
        case .array(let elements): elements.isEmpty
        default: false
        }
    }

    /// The text of a string without its quotes, and of anything else on one line.
    var plainText: String {
        string ?? text().split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}
