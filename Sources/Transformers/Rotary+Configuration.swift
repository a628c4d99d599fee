// What config.json says of rotary position embedding, in every spelling that transformers takes.

internal import Glibc

extension Rotary {
    /// What differs from family to family.
    struct Spelling: Sendable {
        /// The key at the top of config.json that stands in for `rope_theta` inside the object.
        var baseKey = "rope_theta"
        var defaultBase = 1e4
        /// The key at the top that stands in for `partial_rotary_factor`.
        var shareKey = "partial_rotary_factor"
        var defaultShare = 1.0
        /// Whether a head may be rotated in part.
        var isPartial = false
        /// Where it may not: whether the share is passed over while frequencies are not scaled. transformers fails otherwise.
        var passesOverShare = true
        var isInterleaved = false
        /// Where config.json has no object of parameters.
        var defaultScaling = Scaling.none
        /// The type of blocks whose parameters these are, in families with parameters for each; nil: for all blocks.
        var blocks: String? = nil
        /// The names of scalings that the family takes, and what they mean; nil: all, by their own names.
        var names: [String: String]? = nil
        /// Original positions where the top of config.json does not say; nil: those inside the object, or else the model's.
        var defaultOriginalPositions: Int? = nil
        /// The model's positions where config.json does not say; nil: it must.
        var defaultPositions: Int? = nil

        /// The families that rotate whole heads.
        static let whole = Spelling()
        static let gptNeoX = Spelling(baseKey: "rotary_emb_base", shareKey: "rotary_pct", defaultShare: 0.25, isPartial: true)

        /// The keys at the top of config.json.
        var keys: Set<String> { ["rope_parameters", "rope_scaling", "original_max_position_embeddings", "max_position_embeddings", baseKey, shareKey] }
    }

    /// Reads `rope_scaling` (transformers 4) if there is one, else `rope_parameters` (transformers 5), and the keys at the top beside them: the order of
    /// transformers' `convert_rope_params_to_dict` and `standardize_rope_params`.
    ///
    /// - Parameter headSize: elements of a head.
    /// - Returns: nil where no element is rotated.
    static func read(_ configuration: Configuration, headSize: Int, _ spelling: Spelling) throws(ArchitectureError) -> Rotary? {
        let parameters = if let blocks = spelling.blocks { try parameters(configuration, of: blocks) } else { try parameters(configuration) }
        let base = try Self.value("rope_theta", in: parameters, or: spelling.baseKey, in: configuration, default: spelling.defaultBase)
        let scaling =
            try parameters.map { parameters throws(ArchitectureError) in try Self.scaling(parameters, configuration, spelling) } ?? spelling.defaultScaling
        var divisor = headSize
        if spelling.isPartial || !spelling.passesOverShare || scaling != .none {
            let share = try share(parameters, configuration, spelling)
            // Checked before it becomes a whole number, since a large product would not fit one.
            divisor = share <= 1 ? Int(Double(headSize) * share) : .max
            guard divisor <= headSize, spelling.isPartial || divisor == headSize else {
                let expected = spelling.isPartial ? "at most 1" : "1 for this kind of model, whose heads of \(headSize) rotated elements are rotated as wholes"
                if let parameters, try parameters.has(shareKey) { throw parameters.invalid(shareKey, expected) }
                throw configuration.invalid(spelling.shareKey, expected)
            }
        }
        guard divisor > 0 else { return nil }
        let size = (divisor + 1) / 2 * 2
        if let parameters { try check(scaling, size: size, divisor: divisor, parameters) }
        guard size <= headSize, divisor == size || !scaling.isYaRN else {
            let isThere = try configuration.has(spelling.shareKey)
            throw .invalid(
                source: configuration.source, key: isThere ? spelling.shareKey : "head_dim", found: "\(divisor) of a head of \(headSize) elements",
                expected: "such that it makes an even number of rotated elements")
        }
        return Rotary(size: size, divisor: divisor, base: base, scaling: scaling, isInterleaved: spelling.isInterleaved)
    }

    /// What attention's scores are multiplied with besides, where frequencies are scaled and `mscale_all_dim` is given: (1 + 0.1 m ln(factor))^2.
    static func scoreFactor(_ configuration: Configuration) throws(ArchitectureError) -> Double {
        guard let parameters = try parameters(configuration), try scaling(parameters, configuration, .whole) != .none,
            let share = try parameters.optionalNotNegative("mscale_all_dim"), share > 0
        else { return 1 }
        let factor = try parameters.positive("factor")
        let one = factor > 1 ? 1 + 0.1 * share * log(factor) : 1
        return one * one
    }

    /// The key of the share inside the object of parameters.
    private static let shareKey = "partial_rotary_factor"

    /// The object of parameters that counts; nil where there is none, or an empty one.
    private static func parameters(_ configuration: Configuration) throws(ArchitectureError) -> Configuration? {
        let older = try configuration.object("rope_scaling")
        let chosen = if let older, !older.keys.isEmpty { older } else { try configuration.object("rope_parameters") }
        if let chosen, let nested = chosen.keys.sorted().first(where: { chosen.isObject($0) == true }) {
            throw chosen.unsupported(nested, "one set of parameters for all blocks")
        }
        return chosen
    }

    /// The object of parameters that counts for blocks of a type; nil where there is none.
    private static func parameters(_ configuration: Configuration, of blocks: String) throws(ArchitectureError) -> Configuration? {
        let types = ["full_attention", "sliding_attention"]
        if let all = try configuration.object("rope_parameters") {
            try configuration.refuse("rope_scaling")
            if let other = all.keys.sorted().first(where: { !types.contains($0) }) {
                throw all.unsupported(other, "objects for \(types.joined(separator: ", "))")
            }
            return try own(all.object(blocks))
        }
        guard blocks == types[0], let scaling = try configuration.object("rope_scaling") else { return nil }
        // transformers keeps the type of its own default beside the older key.
        let isNewer = try scaling.has("rope_type")
        if !isNewer { try scaling.refuse("type") }
        return try own(scaling)
    }

    /// Where each type of blocks has parameters of its own, transformers does not look for `truncate` there.
    private static func own(_ parameters: Configuration?) throws(ArchitectureError) -> Configuration? {
        try parameters?.require("truncate", true)
        return parameters
    }

    private static func value(
        _ key: String, in parameters: Configuration?, or topKey: String, in configuration: Configuration, default fallback: Double
    ) throws(ArchitectureError) -> Double {
        if let parameters, try parameters.has(key) { return try parameters.positive(key) }
        return try configuration.positive(topKey, default: fallback)
    }

    /// The share of a head that is rotated. A null inside the object counts; at the top it stands for absence, except where the family has a name of its own.
    private static func share(_ parameters: Configuration?, _ configuration: Configuration, _ spelling: Spelling) throws(ArchitectureError) -> Double {
        if let parameters, try parameters.has(shareKey) { return try parameters.notNegative(shareKey) }
        if !spelling.isPartial, try configuration.isNull(spelling.shareKey) { return spelling.defaultShare }
        return try configuration.notNegative(spelling.shareKey, default: spelling.defaultShare)
    }
}
