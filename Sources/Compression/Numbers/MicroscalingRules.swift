// MXFP8 and MXFP4: numbers in groups of 32 whose scales are powers of two.

internal import CKernels
internal import LinearAlgebra

/// Sources: the OCP specification of microscaling formats; compressed-tensors, `mxfp4-pack-quantized` and `mxfp8-quantized`, for how the exponent is chosen.
struct MicroscalingRules: NumberRules {
    let bits: Int
    let numbers: [Float]
    let kernelType: Int32
    /// The exponent of the largest number.
    private let exponent: Int
    let strategies: [ScaleStrategy] = [.group]
    let groupColumns = 32
    /// Other shares would give the same powers of two.
    let sharesTried: [Float]? = [1, 0.5, 2]

    static let fp8 = MicroscalingRules(bits: 8, numbers: Float8.e4m3, kernelType: Int32(cleave_e4m3), exponent: Float8.largest.exponent)
    static let fp4 = MicroscalingRules(bits: 4, numbers: Float4.e2m1, kernelType: Int32(cleave_e2m1), exponent: Float4.largest.exponent)

    var reach: Float { Float(sign: .plus, exponent: exponent, significand: 1) }

    /// 2^(the exponent of the largest magnitude - that of the largest number); from 1.75 times a power of two on, that of the next.
    func makeScales(_ magnitudes: Matrix<Float>, type: ScaleType, divisor: Float?, _ halves: Matrix<UInt16>) {
        for index in 0..<magnitudes.count {
            // 2^21 is a quarter of the fraction's range, so that from 1.75 on the exponent rises by one.
            let raised = Int((magnitudes.base[index].bitPattern &+ (1 << 21)) >> 23)
            let byte = min(max(raised - exponent, 0), 254)
            magnitudes.base[index] = Float(sign: .plus, exponent: byte - 127, significand: 1)
        }
    }
}
