// The weighted outputs of a token's experts, added in whatever order they arrive.

internal import CKernels
public import LinearAlgebra

/// For each token of a batch the sum of its experts' outputs, exact: any order of arrival gives the same bits.
///
/// Each output is rounded to a multiple of a power of two, the token's quantum, and added in fp64. The quantum is 2^-34 of the largest magnitude of the
/// token's residual stream: a thousandth of what fp32 tells apart there, while sums of up to 2^18 times that magnitude stay integers below 2^53 of it.
public struct ExpertSum: Sendable {
    private static let bitsBelowResidual = 34
    /// Of an output, in quanta; with as many as 64 experts for a token a sum stays below 2^53.
    private static let largest = 0x1p47
    /// Where a token's residual stream is zero.
    private static let leastMagnitude: Float = 0x1p-60

    /// [tokens, hidden]
    public let values: Matrix<Double>
    /// [tokens, 1]
    private let quanta: Matrix<Double>

    /// - Parameter residual: as the mixture's input was made of it: [tokens, hidden].
    public init(residual: Matrix<Float>) {
        self.init(values: Matrix(zeros: residual.rows, residual.columns), residual: residual)
    }

    /// A sum that was put aside, `values`: [tokens, hidden].
    public init(values: Matrix<Double>, residual: Matrix<Float>) {
        let quanta = Matrix<Double>(uninitialized: residual.rows, 1)
        forEachRowRange(residual.rows) { rows in
            for row in rows {
                let magnitude = max(cleave_max_magnitude_f32(residual.row(row), residual.columns), Self.leastMagnitude)
                quanta[row, 0] = Double(sign: .plus, exponent: Int(magnitude.exponent) - Self.bitsBelowResidual, significand: 1)
            }
        }
        (self.values, self.quanta) = (values, quanta)
    }

    /// Adds weights[i] * outputs[i] to the sum of tokens[i].
    ///
    /// - Parameters:
    ///   - outputs: [tokens.count, hidden]; they are multiplied in place.
    ///   - tokens: rows of the batch.
    /// - Returns: whether all outputs are finite, and of a size that the sum can hold.
    public func add(_ outputs: Matrix<Float>, tokens: ArraySlice<Int32>, weights: ArraySlice<Float>) -> Bool {
        precondition(outputs.rows == tokens.count && weights.count == tokens.count, "\(outputs.rows) outputs for \(tokens.count) tokens")
        let isFine = Matrix<UInt8>(uninitialized: 1, tokens.count)
        forEachRowRange(tokens.count) { rows in
            for row in rows {
                let (token, weight, output) = (Int(tokens[tokens.startIndex + row]), weights[weights.startIndex + row], outputs.row(row))
                for column in 0..<outputs.columns { output[column] *= weight }
                let quantum = quanta[token, 0]
                isFine.base[row] = Double(cleave_max_magnitude_f32(output, outputs.columns)) < Self.largest * quantum ? 1 : 0
                cleave_add_quantized(output, values.row(token), outputs.columns, quantum, 1 / quantum)
            }
        }
        return isFine.elements().allSatisfy { $0 == 1 }
    }

    /// target += the sums
    func join(_ target: Matrix<Float>) {
        forEachRowRange(target.rows) { rows in
            for row in rows {
                for column in 0..<target.columns { target[row, column] += Float(values[row, column]) }
            }
        }
    }
}
