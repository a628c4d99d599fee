// A linear's weights as the products take them.

internal import LinearAlgebra

/// Weight and bias of one linear, or of some of its rows.
public struct LinearWeights: Sendable {
    /// Tokens that pass packed weights at once: few for many threads, more where the weights would not stay in cache from one unit of tokens to the next.
    private static let (tokensOfSmall, tokensOfLarge) = (64, 256)
    /// Of weights that are small in this sense: a core's second level of cache, about.
    private static let smallBytes = 2 << 20
    /// Tokens, and rows in fp32, that pass weights at once which each product lays out anew. In bf16 all rows do, since oneDNN is slow where its result
    /// has gaps.
    private static let (tokensOfPlain, rowsOfPlain) = (512, 1024)

    private enum Weight {
        case plain(Operand)
        case packed(PackedMatrix)
    }

    private let weight: Weight
    /// [rows]
    public let bias: [Float]?

    /// - Parameter weight: [rows, columns]
    public init(weight: Operand, bias: [Float]?) {
        self.init(.plain(weight), bias)
    }

    private init(_ weight: Weight, _ bias: [Float]?) {
        self.weight = weight
        self.bias = bias
    }

    var shape: (rows: Int, columns: Int) {
        switch weight {
        case .plain(let weight): (weight.rows, weight.columns)
        case .packed(let weight): (weight.rows, weight.columns)
        }
    }

    /// The same weights laid out for many products, in memory of their own; those in fp32, which BLAS packs for each product, stay as they are.
    public func packed() -> LinearWeights {
        guard case .plain(.bf16(let matrix)) = weight, matrix.count > 0 else { return self }
        return LinearWeights(.packed(PackedMatrix(matrix)), bias)
    }

    /// A window on some rows of weights that are not packed.
    public func rows(_ range: Range<Int>) -> LinearWeights {
        guard case .plain(let weight) = weight else { preconditionFailure("a window on packed weights") }
        return LinearWeights(weight: weight.rows(range), bias: bias.map { Array($0[range]) })
    }

    /// Tokens that pass these weights at once. It follows from shape and type, never from the number of threads: a product's shape decides its bits.
    var tokensAtOnce: Int {
        guard case .packed(let weight) = weight else { return Self.tokensOfPlain }
        return weight.rows * weight.columns * MemoryLayout<BFloat16>.stride <= Self.smallBytes ? Self.tokensOfSmall : Self.tokensOfLarge
    }

    /// The most tokens that pass any weights at once.
    public static let mostTokensAtOnce = tokensOfPlain

    /// y = x W^T + b, x: [tokens, columns], y: [tokens, rows].
    func apply(to input: Operand) -> Matrix<Float> {
        [self].outputs(of: input)[0]
    }

    /// One product: some tokens with some rows of the weight.
    fileprivate struct Unit {
        var tokens: Range<Int>
        var rows: Range<Int>
    }

    /// Products that together are x W^T.
    fileprivate func units(_ tokens: Int) -> [Unit] {
        var height = max(shape.rows, 1)
        if case .plain(.f32) = weight { height = Self.rowsOfPlain }
        return stride(from: 0, to: tokens, by: tokensAtOnce).flatMap { token in
            stride(from: 0, to: shape.rows, by: height).map { row in
                Unit(tokens: token..<min(token + tokensAtOnce, tokens), rows: row..<min(row + height, shape.rows))
            }
        }
    }

    fileprivate func multiply(_ input: Operand, _ unit: Unit, into result: Matrix<Float>) {
        let result = result.rows(unit.tokens).columns(unit.rows)
        switch (weight, input.rows(unit.tokens)) {
        case (.packed(let weight), .bf16(let input)): LinearAlgebra.multiply(input, transposed: weight, into: result)
        case (.plain(.bf16(let weight)), .bf16(let input)): LinearAlgebra.multiply(input, weight, transposeB: true, into: result)
        case (.plain(.f32(let weight)), .f32(let input)): LinearAlgebra.multiply(input, weight.rows(unit.rows), transposeB: true, into: result)
        default: preconditionFailure("activations and weights of different types")
        }
    }
}

extension [LinearWeights] {
    /// Several linears of one input, whose units the rank's threads share: of each y = x W^T + b, x: [tokens, columns], y: [tokens, rows].
    func outputs(of input: Operand) -> [Matrix<Float>] {
        let outputs = map { Matrix<Float>(uninitialized: input.rows, $0.shape.rows) }
        let units = indices.flatMap { linear in self[linear].units(input.rows).map { (linear, $0) } }
        parallelFor(units.count) { index in
            let (linear, unit) = units[index]
            self[linear].multiply(input, unit, into: outputs[linear])
        }
        for (linear, output) in zip(self, outputs) {
            if let bias = linear.bias { addToEachRow(of: output, bias) }
        }
        return outputs
    }
}
