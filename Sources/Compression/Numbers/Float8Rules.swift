// FP8: E4M3 with a scale for each row, block or tensor, in the weights' type.

internal import CKernels
internal import LinearAlgebra

/// Source: compressed-tensors, `float-quantized`.
struct Float8Rules: NumberRules {
    let bits = 8
    let strategies: [ScaleStrategy] = [.channel, .tensor, .block]
    let numbers = Float8.e4m3
    let kernelType = Int32(cleave_e4m3)
    let reach = Float8.largest

    func makeScales(_ magnitudes: Matrix<Float>, type: ScaleType, divisor: Float?, _ halves: Matrix<UInt16>) {
        makeStoredScales(magnitudes, type: type, halves)
    }

    func isClamped(_ magnitude: Float, type: ScaleType) -> Bool { isOutside(magnitude, type: type) }
}
