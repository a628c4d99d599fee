// What clients make of the keys and values that attention keeps of earlier tokens.

/// How clients quantize their cache of keys and values: by scales that are stored beside the weights. Cleave computes with keys and values as they are.
///
/// Source: compressed-tensors, `quantization/quant_config.py` (`kv_cache_scheme`); vLLM, `layers/quantization/kv_cache.py`.
public struct KeyValueCache: Sendable, Hashable {
    /// The types that clients know for it.
    public enum Number: String, Sendable, CaseIterable {
        /// E4M3.
        case fp8
    }

    /// Which keys, or values, of an attention share a scale.
    public enum Strategy: String, Sendable, CaseIterable {
        /// All.
        case tensor
        /// Those of a head.
        case head = "attn_head"
    }

    public var number: Number
    public var strategy: Strategy

    public init(_ number: Number = .fp8, strategy: Strategy = .tensor) {
        (self.number, self.strategy) = (number, strategy)
    }

    /// The scales of an attention's keys, or of its values: what the type's largest number stands for is the largest magnitude.
    ///
    /// - Parameters:
    ///   - magnitudes: the largest of each head, finite.
    ///   - type: in which they are stored; scales stay within its normal numbers.
    /// - Returns: one, or one for each head; not yet rounded to `type`.
    public func scales(_ magnitudes: [Float], type: ScaleType) -> [Float] {
        let largest = strategy == .head ? magnitudes : [magnitudes.max() ?? 0]
        // What is always zero needs no scale.
        return largest.map { $0 > 0 ? max($0 / Float8Rules().reach, type.normalRange.least) : 1 }
    }
}
