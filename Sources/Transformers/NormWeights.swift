// A normalisation with its learned weights.

internal import CKernels
internal import LinearAlgebra

/// The learned weights of a norm, applied to rows in fp32.
struct NormWeights: Sendable {
    let norm: Norm
    /// [heads, size]: what is multiplied with.
    let weight: [Float]
    let bias: [Float]?

    /// Normalises `norm.size` values; `result` may be `values`.
    ///
    /// - Parameter head: which of them, where heads have weights of their own.
    func apply(to values: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>, head: Int = 0) {
        weight.withUnsafeBufferPointer { weight in
            guard let first = weight.baseAddress else { return }
            apply(first + (norm.heads == nil ? 0 : head * norm.size), values, result)
        }
    }

    private func apply(_ weight: UnsafePointer<Float>, _ values: UnsafePointer<Float>, _ result: UnsafeMutablePointer<Float>) {
        switch norm.kind {
        case .rootMeanSquare, .zeroCentredRootMeanSquare:
            cleave_rms_norm(values, weight, result, norm.size, norm.epsilon)
        case .layer:
            if let bias {
                cleave_layer_norm(values, weight, bias, result, norm.size, norm.epsilon)
            } else {
                cleave_layer_norm(values, weight, nil, result, norm.size, norm.epsilon)
            }
        }
    }

    /// Normalises rows where they are: [tokens, size].
    func applyInPlace(_ x: Matrix<Float>) {
        forEachRowRange(x.rows) { rows in
            for row in rows { apply(to: x.row(row), into: x.row(row)) }
        }
    }

    /// The normalised rows of x: [tokens, size], in the compute type.
    func apply(to x: Matrix<Float>, compute: Compute) -> Operand {
        let result = Operand(uninitialized: compute, x.rows, x.columns)
        forEachRowRange(x.rows) { rows in
            let normalised = Matrix<Float>(uninitialized: rows.count, x.columns)
            for (target, row) in rows.enumerated() { apply(to: x.row(row), into: normalised.row(target)) }
            result.rows(rows).store(normalised)
        }
        return result
    }
}
