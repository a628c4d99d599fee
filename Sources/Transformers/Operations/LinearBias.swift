// Linear biases of attention's scores, which take the place of positions.

internal import Glibc
internal import LinearAlgebra

/// To the score of a query and a key, slope * position of the key is added (ALiBi, Press et al. 2022); softmax makes of it a cost of their distance.
struct LinearBias: Sendable, Hashable {
    /// [heads]
    private(set) var slopes: [Float]
    /// Whether slopes, positions and their products are rounded to bf16, whatever the model's type (Falcon).
    let isRounded: Bool
    /// Factor of the products.
    let scale: Float

    /// The slopes of the paper: 2^(-8 i / n) of n heads, a power of two; of other numbers those of the next lower one, and every second of the next higher.
    init(heads: Int, isRounded: Bool = false, scale: Float = 1) {
        func powers(of count: Int, _ exponents: some Sequence<Int>) -> [Float] {
            let base = Double(Float(exp2(-8 / Double(count))))
            return exponents.map { Float(pow(base, Double($0))) }
        }
        let lower = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
        slopes = powers(of: lower, 1...lower) + powers(of: 2 * lower, stride(from: 1, to: 2 * (heads - lower), by: 2))
        self.isRounded = isRounded
        self.scale = scale
    }

    /// Of some heads.
    func of(_ heads: Range<Int>) -> LinearBias {
        var some = self
        some.slopes = Array(slopes[heads])
        return some
    }

    /// What is added to the scores of each head: [heads, tokens].
    func table(tokens: Int) -> Matrix<Float> {
        let table = Matrix<Float>(uninitialized: slopes.count, tokens)
        func rounded(_ value: Float) -> Float { isRounded ? BFloat16(value).float : value }
        for (head, slope) in slopes.enumerated() {
            for position in 0..<tokens { table[head, position] = scale * rounded(rounded(slope) * rounded(Float(position))) }
        }
        return table
    }
}
