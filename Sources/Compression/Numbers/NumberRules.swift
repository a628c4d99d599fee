// What a type of numbers has of its own: its numbers, and how a scale follows from the largest weight.

internal import CKernels
public import LinearAlgebra

/// A type of numbers whose width, groups and scales are given by its specification. Grids are symmetric: the scale follows from the largest magnitude alone.
public protocol NumberRules: Sendable {
    /// Of a code.
    var bits: Int { get }

    /// Which weights may share a scale, the usual way first.
    var strategies: [ScaleStrategy] { get }

    /// Columns that share a scale where `strategy` is `group`.
    var groupColumns: Int { get }

    /// The numbers by their codes.
    var numbers: [Float] { get }

    /// What a code stands for is counted from; 0 of types whose codes are no integers.
    var zeroCode: Int { get }

    /// The loops of the kernels that round to these numbers; see `cleave_numbers`.
    var kernelType: Int32 { get }

    /// The magnitude that the largest weight of a scale has after the division; what goes beyond the last number is cut off.
    var reach: Float { get }

    /// What scales that are searched are tried with beside the format's own: shares of the largest magnitude. nil: as integer grids are searched.
    var sharesTried: [Float]? { get }

    /// Shares above 1, which leave the largest numbers unused, that a search tries first.
    var widerShares: [Float] { get }

    /// One number for a whole weight by which its scales are divided, from the weight's largest magnitude; nil where the type has none.
    func divisor(_ magnitude: Float) -> Float?

    /// Makes scales as clients will have them of largest magnitudes, in place.
    ///
    /// - Parameters:
    ///   - magnitudes: [1, rows]; 0 of weights that are all zero.
    ///   - type: in which scales are stored, where that is the weights'.
    ///   - halves: room for as many.
    func makeScales(_ magnitudes: Matrix<Float>, type: ScaleType, divisor: Float?, _ halves: Matrix<UInt16>)

    /// Whether the scale of a magnitude lies outside what its type can hold well.
    func isClamped(_ magnitude: Float, type: ScaleType) -> Bool
}

extension NumberRules {
    public var zeroCode: Int { 0 }
    public var groupColumns: Int { -1 }
    public var sharesTried: [Float]? { nil }
    public var widerShares: [Float] { [] }
    public func divisor(_ magnitude: Float) -> Float? { nil }
    public func isClamped(_ magnitude: Float, type: ScaleType) -> Bool { false }

    /// Columns that share a scale; -1: all.
    public func group(_ strategy: ScaleStrategy) -> Int {
        switch strategy {
        case .channel, .tensor: -1
        case .block: scaleBlock
        case .group: groupColumns
        }
    }

    /// scale = magnitude / reach in the scales' type; that type's epsilon for zeros.
    ///
    /// Source: compressed-tensors, `quantization/utils/helpers.py`, `calculate_qparams`.
    func makeStoredScales(_ magnitudes: Matrix<Float>, type: ScaleType, _ halves: Matrix<UInt16>) {
        let count = magnitudes.count, isZero = (0..<count).map { magnitudes.base[$0] == 0 }
        for index in 0..<count { magnitudes.base[index] /= reach }
        type.round(magnitudes, halves)
        let (least, most) = type.normalRange
        for index in 0..<count { magnitudes.base[index] = isZero[index] ? type.epsilon : min(max(magnitudes.base[index], least), most) }
    }

    func isOutside(_ magnitude: Float, type: ScaleType) -> Bool {
        let (least, most) = type.normalRange, scale = magnitude / reach
        return magnitude > 0 && (scale < least || scale > most)
    }
}
