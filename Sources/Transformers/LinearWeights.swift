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

    /// y = x W^T + b, x: [tokens, columns], y: [tokens, rows].
    func apply(to input: Operand) -> Matrix<Float> {
        let output = Matrix<Float>(uninitialized: input.rows, weight.rows)
        switch (input, weight) {
        case (.f32(let x), .f32(let w)): multiply(x, w, transposeB: true, into: output)
        case (.bf16(let x), .bf16(let w)): multiply(x, w, transposeB: true, into: output)
        default: preconditionFailure("activations and weights of different types")
        }
        if let bias { addToEachRow(of: output, bias) }
        return output
    }
}
