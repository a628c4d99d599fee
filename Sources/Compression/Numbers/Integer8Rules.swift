// INT8: integers from -128 to 127 with a scale for each row, in the weights' type.

internal import CKernels
internal import LinearAlgebra

/// Codes are counted from 128, as those of all integer grids. Source: compressed-tensors, `int-quantized`.
struct Integer8Rules: NumberRules {
    let bits = 8
    let strategies: [ScaleStrategy] = [.channel]
    let numbers = (0..<256).map { Float($0 - 128) }
    let zeroCode = 128
    let kernelType = Int32(cleave_integers)
    let reach: Float = 127.5

    func makeScales(_ magnitudes: Matrix<Float>, type: ScaleType, divisor: Float?, _ halves: Matrix<UInt16>) {
        makeStoredScales(magnitudes, type: type, halves)
    }

    func isClamped(_ magnitude: Float, type: ScaleType) -> Bool { isOutside(magnitude, type: type) }
}
