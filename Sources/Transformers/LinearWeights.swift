// A linear's weights as the products take them.

internal import LinearAlgebra

/// Weight and bias of one linear, or of some of its rows.
public struct LinearWeights: Sendable {
    /// Tokens of a unit of products with packed weights: few, for many threads; oneDNN is as fast with them as with a thousand.
    private static let tokensOfPacked = 64
    /// Of products that lay out their operands each time; in bf16 a unit has all rows, since oneDNN is fast where its result has no gaps.
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

    /// y = x W^T + b, x: [tokens, columns], y: [tokens, rows].
    func apply(to input: Operand) -> Matrix<Float> {
        let output = product(input)
        if let bias { addToEachRow(of: output, bias) }
        return output
    }

    /// x W^T, in units whose shapes do not follow from the number of threads: a product's shape decides its bits.
    private func product(_ input: Operand) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: input.rows, shape.rows)
        switch (weight, input) {
        case (.packed(let weight), .bf16(let input)):
            parallelFor(input.rows, inUnitsOf: Self.tokensOfPacked) { multiply(input.rows($0), transposed: weight, into: result.rows($0)) }
        case (.plain(.bf16(let weight)), .bf16(let input)):
            parallelFor(input.rows, inUnitsOf: Self.tokensOfPlain) { multiply(input.rows($0), weight, transposeB: true, into: result.rows($0)) }
        case (.plain(.f32(let weight)), .f32(let input)):
            parallelFor(input.rows, weight.rows, inUnitsOf: (Self.tokensOfPlain, Self.rowsOfPlain)) { tokens, rows in
                multiply(input.rows(tokens), weight.rows(rows), transposeB: true, into: result.rows(tokens).columns(rows))
            }
        default:
            preconditionFailure("activations and weights of different types")
        }
        return result
    }
}
