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

    let base: Settings
    /// By the name that a pattern stands for; nil: not compressed.
    let exact: [String: Settings?]
    let patterns: [(pattern: String, settings: Settings?)]
}

// MARK: - Writing

extension GPTQConfiguration {
    /// nil without linears.
    static func object(_ linears: [PackedLinear], ignored: [String], checkpointFormat: String) -> JSONValue? {
        let settings = linears.map { Settings($0.options) }
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
        let kept = ignored.filter { !$0.hasPrefix("re:") && relativeName($0) != nil }
        let others = zip(linears, settings).filter { $0.1 != base }
        let patterns = ignored.compactMap { $0.hasPrefix("re:") ? "-:" + $0.dropFirst(3) : nil }
        let dynamic =
            patterns.map { (key: $0, value: [:] as JSONValue) } + kept.map { (key: "-:" + exactPattern($0), value: [:] as JSONValue) }
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
    static func exactPattern(_ name: String) -> String { "^" + name.replacingOccurrences(of: ".", with: "\\.") + "$" }

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
