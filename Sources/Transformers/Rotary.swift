// Rotary position embedding as data: its frequencies.

internal import Glibc

/// Rotary position embedding (Su et al. 2021): pairs of a head's elements are rotated, pair i by position * frequency i.
public struct Rotary: Sendable, Hashable {
    /// Changes of the frequencies that stretch a model's context.
    public enum Scaling: Sendable, Hashable {
        case none
        /// All frequencies divided by `factor`.
        case linear(factor: Double)
        /// Low frequencies divided by `factor`, high ones kept, those between interpolated (Llama 3.1).
        case llama3(factor: Double, low: Double, high: Double, originalPositions: Int)
        case yarn(YaRN)
        /// As it is up to `positions` tokens; a longer sequence has a larger base (NTK-aware, as in transformers' `dynamic`).
        case dynamic(factor: Double, positions: Int)
        case longRope(LongRoPE)
        /// Each frequency divided by a number of its own.
        case divided(by: [Double], amplitude: Double)
    }

    /// The leading elements of a head that are rotated; even.
    public let size: Int
    /// What the exponents of the frequencies are divided by: `size`, or one less where a head's share comes to an odd number of elements.
    public let divisor: Int
    public let base: Double
    public let scaling: Scaling
    /// Whether pair i is (2 i, 2 i + 1), as in GPT-J, Cohere and DeepSeek; else it is (i, i + size / 2).
    public let isInterleaved: Bool

    package init(size: Int, divisor: Int, base: Double, scaling: Scaling, isInterleaved: Bool = false) {
        self.size = size
        self.divisor = divisor
        self.base = base
        self.scaling = scaling
        self.isInterleaved = isInterleaved
    }

    /// The rotation of a sequence of so many tokens, the same for all lengths.
    public func of(length: Int) -> Rotary {
        switch scaling {
        case .dynamic(let factor, let positions):
            let stretch = factor * Double(max(length, positions)) / Double(positions) - (factor - 1)
            return with(base: base * pow(stretch, Double(divisor) / Double(divisor - 2)), scaling: .none)
        case .longRope(let rope):
            return with(base: base, scaling: .divided(by: length > rope.originalPositions ? rope.long : rope.short, amplitude: rope.amplitude))
        case .none, .linear, .llama3, .yarn, .divided:
            return self
        }
    }

    private func with(base: Double, scaling: Scaling) -> Rotary {
        Rotary(size: size, divisor: divisor, base: base, scaling: scaling, isInterleaved: isInterleaved)
    }

    /// Radians per position, [size / 2], of a rotation that `of(length:)` gave; as in transformers' modeling_rope_utils.py.
    public var frequencies: [Double] {
        let plain = (0..<size / 2).map { index in 1 / pow(base, Double(2 * index) / Double(divisor)) }
        switch scaling {
        case .none:
            return plain
        case .linear(let factor):
            return plain.map { $0 / factor }
        case .llama3(let factor, let low, let high, let originalPositions):
            return plain.map { frequency in
                let turns = Double(originalPositions) * frequency / (2 * Double.pi)
                if turns > high { return frequency }
                if turns < low { return frequency / factor }
                let smooth = (turns - low) / (high - low)
                return (1 - smooth) * frequency / factor + smooth * frequency
            }
        case .yarn(let yarn):
            return yarn.scaled(plain, size: size, base: base)
        case .divided(let divisors, _):
            return zip(plain, divisors).map { $0 / $1 }
        case .dynamic, .longRope:
            preconditionFailure("frequencies that follow from a sequence's length")
        }
    }

    /// What cosines and sines are multiplied by.
    public var amplitude: Double {
        switch scaling {
        case .yarn(let yarn): yarn.amplitude
        case .divided(_, let amplitude): amplitude
        case .longRope(let rope): rope.amplitude
        case .none, .linear, .llama3, .dynamic: 1
        }
    }
}

/// Searched divisors of the frequencies (Ding et al. 2024): some for sequences within the original context, others for longer ones.
public struct LongRoPE: Sendable, Hashable {
    /// [size / 2]
    public let short: [Double]
    public let long: [Double]
    public let originalPositions: Int
    public let amplitude: Double
}

/// Interpolation by parts (Peng et al. 2023): frequencies that turn often within the original context are kept, those that turn seldom are divided.
public struct YaRN: Sendable, Hashable {
    public let factor: Double
    /// Turns within the original context: more than `fast` are kept, fewer than `slow` divided by the factor.
    public let fast: Double
    public let slow: Double
    public let originalPositions: Int
    /// Whether the range between the two ends at whole indices of frequencies.
    public let truncates: Bool
    public let amplitude: Double

    /// w_i = (1 - r_i) w_i + r_i w_i / factor, where r rises from 0 to 1 between the two indices.
    func scaled(_ frequencies: [Double], size: Int, base: Double) -> [Double] {
        func index(turns: Double) -> Double {
            Double(size) * log(Double(originalPositions) / (turns * 2 * Double.pi)) / (2 * log(base))
        }
        var (low, high) = (index(turns: fast), index(turns: slow))
        if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(size - 1)))
        if low == high { high += 0.001 }
        return frequencies.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
            return (1 - ramp) * frequency + ramp * frequency / factor
        }
    }
}
