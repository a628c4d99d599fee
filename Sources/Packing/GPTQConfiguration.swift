// The keys with which GPTQ's formats and Marlin's say how each linear is compressed.

internal import Compression
internal import Foundation
internal import JSON

/// One object that holds for all linears, and under `dynamic` what differs, by regular expressions of names.
struct GPTQConfiguration: Sendable {
    /// What a linear's keys say.
    struct Settings: Sendable, Hashable {
        var bits: Int
        /// -1: one group a row.
        var group: Int
        var symmetric: Bool
        /// Groups of permuted columns: `g_idx` says which.
        var isPermuted: Bool
        /// Columns were quantized in another order, though groups are made of neighbours. Readers need not know; it is kept for conversions.
        var isOrdered: Bool

        init(_ options: QuantizationOptions) {
            bits = options.bits
            group = options.group
            symmetric = options.symmetric
            isPermuted = options.hasPermutedGroups
            isOrdered = options.actOrder && options.group > 0 && !options.hasPermutedGroups
        }

        func options(scaleType: ScaleType) -> QuantizationOptions {
            QuantizationOptions(
                bits: bits, group: group, symmetric: symmetric, actOrder: isPermuted || isOrdered, staticGroups: isOrdered && !isPermuted,
                scaleType: scaleType)
        }
    }

    private let base: Settings
    /// By the name that a pattern stands for; nil: not compressed.
    private let exact: [String: Settings?]
    private let patterns: [(pattern: String, settings: Settings?)]
}

// MARK: - Writing

extension GPTQConfiguration {
    /// nil without linears.
    static func object(_ linears: [PackedLinear], ignored: [String], checkpointFormat: String) -> JSONValue? {
        let settings = linears.map { Settings($0.tiles[0].options) }
        var counts: [Settings: Int] = [:]
        for setting in settings { counts[setting, default: 0] += 1 }
        // Those of the most linears, of the first among equals.
        guard
            let base = settings.max(by: { counts[$0, default: 0] < counts[$1, default: 0] }).flatMap({ most in
                settings.first { counts[$0] == counts[most] }
            })
        else { return nil }
        var entries: [(key: String, value: JSONValue)] = [
            ("quant_method", "gptq"), ("bits", .integer(base.bits)), ("group_size", .integer(base.group)), ("desc_act", .boolean(base.isPermuted)),
            ("sym", .boolean(base.symmetric)), ("lm_head", false), ("checkpoint_format", .string(checkpointFormat)), ("format", .string(checkpointFormat)),
            ("pack_dtype", "int32"), ("meta", ["quantizer": ["cleave"], "act_group_aware": .boolean(base.isOrdered)]),
        ]
        // Linears inside blocks that keep their weights; heads and embeddings are never taken for compressed.
        let kept = ignored.filter { relativeName($0) != nil }
        let others = zip(linears, settings).filter { $0.1 != base }
        let dynamic =
            kept.map { (key: "-:" + exactPattern($0), value: [:] as JSONValue) }
            + others.map { (key: "+:" + exactPattern($0.0.name), value: override($0.1, base)) }
        if !dynamic.isEmpty { entries.append(("dynamic", .object(dynamic))) }
        if !kept.isEmpty, let inner = modulesInEveryBlock(linears.map(\.name), kept: kept) {
            entries.append(("modules_in_block_to_quantize", [.array(inner.map { .string($0) })]))
        }
        return .object(entries)
    }

    private static func override(_ settings: Settings, _ base: Settings) -> JSONValue {
        var entries: [(key: String, value: JSONValue)] = [
            ("bits", .integer(settings.bits)), ("group_size", .integer(settings.group)), ("desc_act", .boolean(settings.isPermuted)),
            ("sym", .boolean(settings.symmetric)),
        ]
        if settings.isOrdered != base.isOrdered { entries.append(("act_group_aware", .boolean(settings.isOrdered))) }
        return .object(entries)
    }

    /// `^model\.layers\.0\.mlp\.down_proj$`
    private static func exactPattern(_ name: String) -> String { "^" + name.replacingOccurrences(of: ".", with: "\\.") + "$" }

    /// A linear's name inside its block: what follows the first number.
    private static func relativeName(_ name: String) -> String? {
        let parts = name.split(separator: ".")
        guard let number = parts.firstIndex(where: { Int($0) != nil }), number + 1 < parts.count else { return nil }
        return parts[(number + 1)...].joined(separator: ".")
    }

    /// What transformers understands in place of `dynamic`: names inside the block, the same in every block; nil when blocks differ.
    private static func modulesInEveryBlock(_ names: [String], kept: [String]) -> [String]? {
        var inner: [String] = []
        var seen = Set<String>()
        for name in names.compactMap(relativeName) where seen.insert(name).inserted { inner.append(name) }
        return seen.isDisjoint(with: kept.compactMap(relativeName)) ? inner : nil
    }
}

// MARK: - Reading

extension GPTQConfiguration {
    init(_ quantization: JSONValue) throws(PackingError) {
        guard quantization["bits"] != nil else { throw PackingError("`quantization_config` has no `bits`") }
        let isOrdered = quantization["meta"]?["act_group_aware"]?.boolean ?? false
        let start = Settings(QuantizationOptions(bits: 4, group: 128, symmetric: true))
        let base = try Self.settings(quantization, base: start, isOrdered: isOrdered, place: "quantization_config")
        var exact: [String: Settings?] = [:]
        var patterns: [(pattern: String, settings: Settings?)] = []
        for (key, value) in quantization["dynamic"]?.object ?? [] {
            let isKept = key.hasPrefix("-:")
            let pattern = String(isKept || key.hasPrefix("+:") ? key.dropFirst(2) : key[...])
            let settings: Settings? =
                isKept
                ? nil
                : try Self.settings(value, base: base, isOrdered: value["act_group_aware"]?.boolean ?? base.isOrdered, place: "dynamic.\(key)")
            if let name = Self.literal(pattern) { exact[name] = .some(settings) } else { patterns.append((pattern: pattern, settings: settings)) }
        }
        self.base = base
        self.exact = exact
        self.patterns = patterns
    }

    private static func settings(_ value: JSONValue, base: Settings, isOrdered: Bool, place: String) throws(PackingError) -> Settings {
        let bits = value["bits"].map { $0.integer ?? 0 } ?? base.bits
        guard [2, 3, 4, 8].contains(bits) else { throw PackingError("`\(place)` asks for other codes than those of 2, 3, 4 or 8 bits") }
        let group = value["group_size"].map { $0.integer ?? 0 } ?? base.group
        guard group == -1 || (1...largestGroup).contains(group) else { throw PackingError("`\(place)` has a `group_size` that is neither -1 nor at least 1") }
        let isPermuted = (value["desc_act"]?.boolean ?? base.isPermuted) && group > 0
        var settings = base
        settings.bits = bits
        settings.group = group
        settings.symmetric = value["sym"]?.boolean ?? base.symmetric
        settings.isPermuted = isPermuted
        settings.isOrdered = isOrdered && group > 0 && !isPermuted
        return settings
    }

    /// The name that a pattern such as `exactPattern` makes stands for; nil for other patterns.
    private static func literal(_ pattern: String) -> String? {
        guard pattern.hasPrefix("^"), pattern.hasSuffix("$") else { return nil }
        let name = pattern.dropFirst().dropLast().replacingOccurrences(of: "\\.", with: ".")
        return exactPattern(name) == pattern && name.allSatisfy { $0.isLetter || $0.isNumber || "._-".contains($0) } ? name : nil
    }

    /// - Throws: when two patterns say different things: which one comes first is not told by JSON.
    func settings(_ linear: String) throws(PackingError) -> Settings {
        var found: [Settings?] = exact[linear].map { [$0] } ?? []
        found += patterns.filter { linear.range(of: "^(?:\($0.pattern))", options: .regularExpression) != nil }.map(\.settings)
        guard let first = found.first else { return base }
        guard found.allSatisfy({ $0 == first }) else { throw PackingError("patterns of `dynamic` say different things of \(linear)") }
        guard let first else { throw PackingError("`dynamic` says that \(linear) is not compressed, but its codes are there") }
        return first
    }
}
