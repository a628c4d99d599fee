// Matrix products of bf16 operands on processors that do not multiply bf16: for those oneDNN has no code.

/// c = op(a) op(b) in fp32 of the same numbers, which fp32 holds exactly: what a product in bf16 accumulates. A run there computes in fp32 from the
/// start (`BFloat16.isAccelerated`), so that this need not be fast.
func multiplyWidened(_ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, _ transposeA: Bool, _ transposeB: Bool, _ c: Matrix<Float>) {
    multiply(a.widened(), b.widened(), transposeA: transposeA, transposeB: transposeB, into: c)
}

/// The same, rounded once to bf16.
func multiplyWidened(_ a: Matrix<BFloat16>, _ b: Matrix<BFloat16>, _ transposeA: Bool, _ transposeB: Bool, _ c: Matrix<BFloat16>) {
    let result = Matrix<Float>(uninitialized: c.rows, c.columns)
    multiplyWidened(a, b, transposeA, transposeB, result)
    convert(result, into: c)
}

extension Matrix<BFloat16> {
    fileprivate func widened() -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: rows, columns)
        convert(self, into: result)
        return result
    }
}
