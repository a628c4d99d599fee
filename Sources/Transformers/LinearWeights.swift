// A linear's weights as the products take them.

internal import LinearAlgebra

/// Weight and bias of one linear.
public struct LinearWeights: Sendable {
    /// [rows, columns]
    public let weight: Operand
    /// [rows]
    public let bias: [Float]?

    public init(weight: Operand, bias: [Float]?) {
        self.weight = weight
        self.bias = bias
    }

    /// A window on some rows.
    public func rows(_ range: Range<Int>) -> LinearWeights {
        LinearWeights(weight: weight.rows(range), bias: bias.map { Array($0[range]) })
    }

    /// y = x W^T + b, x: [tokens, columns], y: [tokens, rows].
    func apply(to input: Operand) -> Matrix<Float> {
        let output = product(input, weight, transposeB: true)
        if let bias { addToEachRow(of: output, bias) }
        return output
    }
}
