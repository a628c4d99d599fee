// Matrix products of bf16 operands with fp32 accumulation, through oneDNN, each on the calling thread.

internal import COneDNN

extension BFloat16 {
    /// Whether this CPU multiplies bf16 in hardware (AVX-512 BF16 or AMX); elsewhere fp32 is at least as fast.
    public static let isAccelerated: Bool = {
        let needed = dnnl_cpu_isa_avx512_core_bf16.rawValue
        return dnnl_get_effective_cpu_isa().rawValue & needed == needed
    }()
}

/// c = op(a) op(b) with bf16 operands and an fp32 result, where op transposes when asked.
public func multiply(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<Float>
) {
    multiplyBFloat16(a, b, transposeA, transposeB, c, resultType: dnnl_f32)
}

/// c = op(a) op(b), accumulated in fp32 and rounded once to bf16.
public func multiply(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<BFloat16>
) {
    multiplyBFloat16(a, b, transposeA, transposeB, c, resultType: dnnl_bf16)
}

private func multiplyBFloat16<C>(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, _ transposeA: Bool, _ transposeB: Bool, _ c: Matrix<C>, resultType: dnnl_data_type_t
) {
    let (m, n, k) = productShape(a, b, transposeA, transposeB, c)
    guard m > 0, n > 0 else { return }
    let shape = ProductShape(
        m: m, n: n, k: k, strideA: a.stride, strideB: b.stride, strideC: c.stride, transposeA: transposeA, transposeB: transposeB,
        resultType: resultType.rawValue)
    ProductCache.primitive(shape).execute(a.base, b.base, c.base)
}
