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
    guard a.count > 0, BFloat16.isAccelerated else { return multiplyWidened(a, b, transposeA, transposeB, c) }
    multiplyBFloat16(a, b, transposeA, transposeB, c, resultType: dnnl_f32)
}

/// c = op(a) op(b), accumulated in fp32 and rounded once to bf16.
public func multiply(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix<BFloat16>
) {
    guard a.count > 0, BFloat16.isAccelerated else { return multiplyWidened(a, b, transposeA, transposeB, c) }
    multiplyBFloat16(a, b, transposeA, transposeB, c, resultType: dnnl_bf16)
}

private func multiplyBFloat16<C>(
    _ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, _ transposeA: Bool, _ transposeB: Bool, _ c: Matrix<C>, resultType: dnnl_data_type_t
) {
    let (m, n, k) = productShape(a, b, transposeA, transposeB, c)
    guard m > 0, n > 0 else { return }
    guard min(m, n, k) > 1 || a.hasNoGaps && b.hasNoGaps && c.hasNoGaps else {
        return c.assigningVectors { multiplyBFloat16(a.copy(), b.copy(), transposeA, transposeB, $0, resultType: resultType) }
    }
    let shape = ProductShape(
        m: m, n: n, k: k, strideA: a.stride, strideB: b.stride, strideC: c.stride, transposeA: transposeA, transposeB: transposeB,
        resultType: resultType.rawValue)
    ProductCache.primitive(shape).execute(a.base, b.base, c.base)
}

extension Matrix {
    /// Whether rows follow each other.
    var hasNoGaps: Bool { stride == columns }

    /// Takes in a product of which an extent is 1, computed in memory without gaps: versions 3 of oneDNN take the strides of such an extent for those of
    /// an operand without gaps (github.com/uxlfoundation/oneDNN, pull requests 2851, 5158 and 5490), and read or write beside it.
    func assigningVectors(_ product: (Matrix) -> Void) {
        let result = Matrix(uninitialized: rows, columns)
        product(result)
        assign(result)
    }
}
