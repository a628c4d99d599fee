// What AutoRound says of weights that lie as GPTQ's do, in GPTQ's words.

internal import JSON

/// `quant_method: auto-round` with a `packing_format` of GPTQ's order.
///
/// Source: AutoRound, `inference/backend.py` (which formats store zero points less one), `export/export_to_autoround/export.py` (`extra_config`).
enum AutoRoundConfiguration {
    /// What packs weights as GPTQ does, by whether zero points are stored less one.
    private static let formats: [String: ZeroPoints] = [
        "auto_round:auto_gptq": .lessOne, "auto_round:gptq": .lessOne, "auto_round:gptqmodel": .plain, "auto_round": .plain,
    ]

    /// - Parameter quantization: the `quantization_config` of config.json.
    static func reader(_ quantization: JSONValue) throws(PackingError) -> any WeightReader {
        let format = quantization["packing_format"]?.string ?? "auto_round:auto_gptq"
        guard let zeroPoints = formats[format] else {
            throw PackingError(
                "`packing_format` of AutoRound is `\(format)`; what can be read is \(formats.keys.sorted().joined(separator: ", ")), and what it writes as "
                    + "`auto_gptq` or `llm_compressor`")
        }
        var dynamic: [(key: String, value: JSONValue)] = []
        for (name, value) in quantization["extra_config"]?.object ?? [] { dynamic.append(try settings(name, value)) }
        let plain = quantization.removing("packing_format").removing("extra_config")
        return try GPTQReader(dynamic.isEmpty ? plain : plain.setting("dynamic", .object(dynamic)), zeroPoints: zeroPoints)
    }

    /// An entry of `extra_config` as one of `dynamic`: of a linear that keeps its weights, or of one with settings of its own.
    private static func settings(_ name: String, _ value: JSONValue) throws(PackingError) -> (key: String, value: JSONValue) {
        // What it leaves out is as for all.
        let own = (value.object ?? []).filter { !$0.value.saysNothing }
        // Anything but a name is an expression that AutoRound looks for anywhere in one.
        let isName = name.allSatisfy { $0.isLetter || $0.isNumber || "._-".contains($0) }
        let pattern = isName ? GPTQConfiguration.exactPattern(name) : ".*(?:\(name))"
        if let bits = value["bits"]?.integer, bits >= 16 { return ("-:" + pattern, .object([])) }
        if let other = own.first(where: { !["bits", "group_size", "sym", "data_type"].contains($0.key) }) {
            throw PackingError("`extra_config.\(name).\(other.key)` is not known, and may change what the model computes; remove it if it does not")
        }
        return ("+:" + pattern, .object(own))
    }
}
