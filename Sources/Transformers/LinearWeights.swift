// A linear's weights as the products take them.

internal import LinearAlgebra

/// Weight and bias of one linear, or of some of its rows.
public struct LinearWeights: Sendable {
    /// Enough that the weights, which every unit reads, weigh little beside the arithmetic.
    private static let tokensPerUnit = 256

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

    /// x W^T. The tokens of a unit are a fixed number, so that bits do not depend on the threads.
    private func product(_ input: Operand) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: input.rows, shape.rows)
        parallelFor(input.rows, inUnitsOf: Self.tokensPerUnit) { tokens in
            switch (weight, input.rows(tokens)) {
            case (.plain(let weight), let input): Transformers.multiply(input, weight, transposeB: true, into: result.rows(tokens))
            case (.packed(let weight), .bf16(let input)): multiply(input, transposed: weight, into: result.rows(tokens))
            case (.packed, .f32): preconditionFailure("fp32 activations for weights in bf16")
            }
        }
        return result
    }
}
