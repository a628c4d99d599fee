// Rotary position embedding as data: its frequencies, from either spelling in config.json.

internal import Glibc

/// Rotary position embedding (Su et al. 2021): elements i and i + size / 2 of a head are rotated by position * frequency i.
public struct Rotary: Sendable, Equatable, Codable {
    /// Changes of the frequencies that stretch a model's context.
    public enum Scaling: Sendable, Equatable, Codable {
        case none
        /// All frequencies divided by `factor`.
        case linear(factor: Double)
        /// Low frequencies divided by `factor`, high ones kept, those between interpolated (Llama 3.1).
        case llama3(factor: Double, low: Double, high: Double, originalPositions: Int)
    }

    /// The leading elements of a head that are rotated; even.
    public let size: Int
    public let base: Double
    public let scaling: Scaling

    /// Radians per position, [size / 2]; as in transformers' modeling_rope_utils.py.
    public var frequencies: [Double] {
        (0..<size / 2).map { index in scaled(1 / pow(base, Double(2 * index) / Double(size))) }
    }

    private func scaled(_ frequency: Double) -> Double {
        switch scaling {
        case .none:
            return frequency
        case .linear(let factor):
            return frequency / factor
        case .llama3(let factor, let low, let high, let originalPositions):
            let turns = Double(originalPositions) * frequency / (2 * Double.pi)
            if turns > high { return frequency }
            if turns < low { return frequency / factor }
            let smooth = (turns - low) / (high - low)
            return (1 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

extension Rotary {
    /// Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4).
    ///
    /// - Parameters:
    ///   - baseKey: the family's older name of `rope_theta`.
    ///   - shareKey: the family's older name of `partial_rotary_factor`.
    init(
        _ configuration: Configuration, headSize: Int, baseKey: String = "rope_theta", shareKey: String = "partial_rotary_factor",
        defaultShare: Double = 1
    ) throws(ArchitectureError) {
        let newer = try configuration.object("rope_parameters")
        let parameters = newer == nil ? try configuration.object("rope_scaling") : newer
        base = try Self.value("rope_theta", in: parameters, or: baseKey, in: configuration, default: 10_000)
        let share = try Self.value("partial_rotary_factor", in: parameters, or: shareKey, in: configuration, default: defaultShare)
        // Checked before it becomes a whole number, since a large product would not fit one.
        size = share <= 1 ? Int(Double(headSize) * share) : 0
        guard size > 0, size % 2 == 0 else {
            throw .invalid(
                source: configuration.source, key: shareKey, found: "\(share) of a head of \(headSize) elements",
                expected: "at most 1 and make an even number of rotated elements")
        }
        if let parameters {
            scaling = try Self.scaling(parameters, configuration)
        } else {
            scaling = .none
        }
    }

    private static func value(
        _ key: String, in parameters: Configuration?, or olderKey: String, in configuration: Configuration, default fallback: Double
    ) throws(ArchitectureError) -> Double {
        if let parameters, parameters.has(key) { return try parameters.positive(key) }
        return try configuration.positive(olderKey, default: fallback)
    }

    private static func scaling(_ parameters: Configuration, _ configuration: Configuration) throws(ArchitectureError) -> Scaling {
        let key = parameters.has("rope_type") ? "rope_type" : "type"
        switch try parameters.string(key, default: "default") {
        case "default":
            return .none
        case "linear":
            return .linear(factor: try parameters.positive("factor"))
        case "llama3":
            let (low, high) = (try parameters.positive("low_freq_factor"), try parameters.positive("high_freq_factor"))
            guard low < high else { throw parameters.invalid("high_freq_factor", "above low_freq_factor, \(low)") }
            let (key, fallback) = ("original_max_position_embeddings", "max_position_embeddings")
            let positions = parameters.has(key) ? try parameters.count(key) : try configuration.count(fallback)
            return .llama3(factor: try parameters.positive("factor"), low: low, high: high, originalPositions: positions)
        default:
            throw parameters.unsupported(key, "default, linear, llama3")
        }
    }
}
