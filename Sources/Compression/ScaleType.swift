// The types in which scales, and weights that are not quantized, are stored.

internal import CKernels
package import LinearAlgebra

/// The type in which clients keep scales. Scales are rounded to it when they are made, so that the solver sees the grid that clients will use.
public enum ScaleType: String, Sendable, Codable, CaseIterable {
    case f32, f16, bf16

    /// Rounds numbers to the type, half to even.
    /// - Parameter halves: room for as many.
    package func round(_ numbers: Matrix<Float>, _ halves: Matrix<UInt16>) {
        switch self {
        case .f32: break
        case .f16:
            Numbers.narrow(numbers.base, intoFloat16: halves.base, count: numbers.count)
            Numbers.widen(float16: halves.base, into: numbers.base, count: numbers.count)
        case .bf16:
            Numbers.narrow(numbers.base, intoBFloat16: halves.base, count: numbers.count)
            Numbers.widen(bfloat16: halves.base, into: numbers.base, count: numbers.count)
        }
    }

    /// The least and the largest positive normal number: scales stay within, so that no client divides by zero or flushes a scale to it.
    public var normalRange: (least: Float, most: Float) {
        switch self {
        case .f32: (0x1p-126, .greatestFiniteMagnitude)
        case .f16: (0x1p-14, 65504)
        case .bf16: (0x1p-126, 0x1.fep127)
        }
    }

    /// The step from 1 to the next number.
    var epsilon: Float {
        switch self {
        case .f32: 0x1p-23
        case .f16: 0x1p-10
        case .bf16: 0x1p-7
        }
    }

    /// As the kernels of C know it.
    var kernelType: Int32 {
        switch self {
        case .f32: Int32(cleave_f32)
        case .f16: Int32(cleave_f16)
        case .bf16: Int32(cleave_bf16)
        }
    }
}
