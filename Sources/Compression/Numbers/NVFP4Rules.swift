// NVFP4: E2M1 in groups of 16 whose scales are E4M3, over one number of the whole weight.

internal import CKernels
internal import LinearAlgebra

/// w = number * (scale / divisor). Source: compressed-tensors, `nvfp4-pack-quantized`; `quantization/utils/helpers.py`, `generate_gparam`, for the divisor.
struct NVFP4Rules: NumberRules {
    let bits = 4
    let strategies: [ScaleStrategy] = [.group]
    let groupColumns = 16
    let numbers = Float4.e2m1
    let kernelType = Int32(cleave_e2m1)
    let reach = Float4.largest
    /// With 4 in place of 6 as the largest number in use, the steps below it are finer.
    let widerShares: [Float] = [1.5, 1.35, 1.2, 1.1]

    /// The largest scale of the weight becomes the largest number of E4M3.
    func divisor(_ magnitude: Float) -> Float? {
        let divisor = Float8.largest * Float4.largest / magnitude
        return divisor.isFinite && divisor > 0 ? divisor : 1
    }

    func makeScales(_ magnitudes: Matrix<Float>, type: ScaleType, divisor: Float?, _ halves: Matrix<UInt16>) {
        let divisor = divisor ?? 1
        for index in 0..<magnitudes.count {
            let scale = Float8.nearest(divisor * magnitudes.base[index] / reach)
            // Clients take the same number where there is none.
            magnitudes.base[index] = (scale == 0 ? 0.125 : scale) / divisor
        }
    }
}
