// How config.json says that frequencies of a rotation are scaled.

internal import Glibc

extension Rotary {
    /// What an object of parameters says of frequencies.
    static func scaling(
        _ parameters: Configuration, _ configuration: Configuration, _ spelling: Spelling
    ) throws(ArchitectureError) -> Scaling {
        let key = try parameters.has("rope_type") ? "rope_type" : "type"
        let found = try parameters.string(key, default: "default")
        if let names = spelling.names, names[found] == nil { throw parameters.unsupported(key, names.keys.sorted().joined(separator: ", ")) }
        // Only of types that it knows by these names transformers moves the positions here.
        if found == "su", try !parameters.has("original_max_position_embeddings") {
            throw .missing(source: configuration.source, key: "original_max_position_embeddings")
        }
        switch spelling.names?[found] ?? found {
        case "default":
            return .none
        case "linear":
            return .linear(factor: try parameters.positive("factor"))
        case "llama3":
            let (low, high) = (try parameters.positive("low_freq_factor"), try parameters.positive("high_freq_factor"))
            guard low < high else { throw parameters.invalid("high_freq_factor", "above low_freq_factor, \(low)") }
            return .llama3(
                factor: try parameters.positive("factor"), low: low, high: high,
                originalPositions: try originalPositions(parameters, configuration, spelling))
        case "yarn":
            return .yarn(try YaRN(parameters, configuration, spelling))
        case "dynamic":
            return .dynamic(factor: try parameters.positive("factor"), positions: try positions(configuration, spelling))
        case "longrope":
            return .longRope(try LongRoPE(parameters, configuration, spelling))
        default:
            throw parameters.unsupported(key, "default, dynamic, linear, llama3, longrope, yarn")
        }
    }

    /// What of a scaling depends on the number of rotated elements.
    static func check(_ scaling: Scaling, size: Int, divisor: Int, _ parameters: Configuration) throws(ArchitectureError) {
        switch scaling {
        case .dynamic where divisor <= 2:
            let key = try parameters.has("rope_type") ? "rope_type" : "type"
            throw parameters.invalid(key, "another type where \(divisor) elements are rotated")
        case .longRope(let rope):
            for (key, factors) in [("short_factor", rope.short), ("long_factor", rope.long)] where factors.count != size / 2 {
                throw parameters.invalid(key, "an array of \(size / 2) numbers, one for each frequency, and it has \(factors.count)")
            }
        default: break
        }
    }

    /// The key at the top wins over the one inside the object, and the model's positions stand in for both.
    fileprivate static func originalPositions(
        _ parameters: Configuration, _ configuration: Configuration, _ spelling: Spelling
    ) throws(ArchitectureError) -> Int {
        let key = "original_max_position_embeddings"
        if spelling.blocks == nil, try configuration.has(key) { return try configuration.count(key) }
        if let positions = spelling.defaultOriginalPositions { return positions }
        return try parameters.has(key) ? try parameters.count(key) : try positions(configuration, spelling)
    }

    fileprivate static func positions(_ configuration: Configuration, _ spelling: Spelling) throws(ArchitectureError) -> Int {
        try configuration.count("max_position_embeddings", default: spelling.defaultPositions)
    }

    /// The factor that the positions make of the original ones.
    fileprivate static func ratio(_ configuration: Configuration, _ spelling: Spelling, to original: Int) throws(ArchitectureError) -> Double {
        Double(try positions(configuration, spelling)) / Double(original)
    }
}

extension Rotary.Scaling {
    var isYaRN: Bool { if case .yarn = self { true } else { false } }

    /// Whether transformers looks for `head_dim` in a way that takes a null for a number.
    var needsHeadSize: Bool {
        switch self {
        case .yarn, .dynamic, .longRope: true
        case .none, .linear, .llama3, .divided: false
        }
    }
}

extension LongRoPE {
    /// The amplitude follows from the factor where none is given, and the factor from the positions.
    fileprivate init(_ parameters: Configuration, _ configuration: Configuration, _ spelling: Rotary.Spelling) throws(ArchitectureError) {
        originalPositions = try Rotary.originalPositions(parameters, configuration, spelling)
        short = try parameters.positives("short_factor")
        long = try parameters.positives("long_factor")
        if let given = try parameters.optionalNotNegative("attention_factor") {
            amplitude = given
            return
        }
        let isAbsent = try !parameters.has("factor")
        let isRatio = try isAbsent ? true : parameters.isNull("factor")
        let factor = try isRatio ? Rotary.ratio(configuration, spelling, to: originalPositions) : parameters.positive("factor")
        guard factor <= 1 || originalPositions > 1 else {
            throw .invalid(source: configuration.source, key: "original_max_position_embeddings", found: "1", expected: "at least 2 beside longrope")
        }
        amplitude = factor <= 1 ? 1 : (1 + log(factor) / log(Double(originalPositions))).squareRoot()
    }
}

extension YaRN {
    /// The factor is that of the positions where it is null; the amplitude follows from the factor where none is given.
    fileprivate init(_ parameters: Configuration, _ configuration: Configuration, _ spelling: Rotary.Spelling) throws(ArchitectureError) {
        originalPositions = try Rotary.originalPositions(parameters, configuration, spelling)
        let isRatio = try parameters.isNull("factor")
        factor = try isRatio ? Rotary.ratio(configuration, spelling, to: originalPositions) : parameters.positive("factor")
        fast = try parameters.optionalNotNegative("beta_fast").flatMap { $0 == 0 ? nil : $0 } ?? 32
        slow = try parameters.optionalNotNegative("beta_slow").flatMap { $0 == 0 ? nil : $0 } ?? 1
        truncates = try parameters.flag("truncate", default: true)
        // 1 + 0.1 m ln(factor), for factors above 1.
        let logarithm = factor > 1 ? 0.1 * log(factor) : 0
        if let given = try parameters.optionalNotNegative("attention_factor") {
            amplitude = given
        } else if let above = try parameters.optionalNotNegative("mscale"), let below = try parameters.optionalNotNegative("mscale_all_dim"), above * below > 0
        {
            amplitude = (1 + above * logarithm) / (1 + below * logarithm)
        } else {
            amplitude = 1 + logarithm
        }
    }
}
