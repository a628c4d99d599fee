// The best weights under a mask that stays: conjugate gradients for all rows of a tile at once.

import LinearAlgebra

/// Least squares for rows of weights that are zero outside a mask: the least (w - x) H (w - x)^T of each row.
///
/// Every row has a system of its own, the rows and columns of H that its mask keeps. Conjugate gradients need no more of it than products of H with all
/// rows, of which what is not kept is dropped (ALPS, Meng et al., NeurIPS 2024, section 3.3). The diagonal of H is the preconditioner.
struct MaskedWeights {
    let factor: Factor
    /// Of H.
    let diagonal: [Float]
    /// [columns, lanes]: 1, or 0 for weights that are zero.
    let kept: Matrix<UInt8>

    private var lanes: Int { kept.columns }

    /// Makes x better by so many steps, none of which makes a row worse.
    /// - Parameters:
    ///   - x: where to begin; what is not kept of it becomes zero: [columns, lanes]
    ///   - target: H w; afterwards H (w - x) where kept, nearly 0: [columns, lanes]
    func improve(_ x: Matrix<Float>, target: Matrix<Float>, steps: Int) {
        for column in 0..<x.rows {
            let (x, kept) = (x.row(column), kept.row(column))
            for lane in 0..<lanes { x[lane] *= Float(kept[lane]) }
        }
        let product = x.copy(), direction = Matrix<Float>(repeating: 0, x.rows, lanes), residual = target
        factor.multiplyHessian(product)
        subtract(product, times: Matrix(repeating: 1, 1, lanes), from: residual)
        var size = sizes(residual)
        var ratio = Matrix<Float>(repeating: 0, 1, lanes)
        for _ in 0..<steps {
            for column in 0..<x.rows {
                let (direction, residual, inverse) = (direction.row(column), residual.row(column), 1 / diagonal[column])
                for lane in 0..<lanes { direction[lane] = inverse * residual[lane] + ratio.base[lane] * direction[lane] }
            }
            product.assign(direction)
            factor.multiplyHessian(product)
            let length = quotients(size, sums(direction, product))
            for column in 0..<x.rows {
                let (x, direction) = (x.row(column), direction.row(column))
                for lane in 0..<lanes { x[lane] += length.base[lane] * direction[lane] }
            }
            subtract(product, times: length, from: residual)
            let next = sizes(residual)
            ratio = quotients(next, size)
            size = next
        }
    }

    /// residual -= factors product, where kept; 0 elsewhere.
    /// - Parameter factors: of the rows: [1, lanes]
    private func subtract(_ product: Matrix<Float>, times factors: Matrix<Float>, from residual: Matrix<Float>) {
        for column in 0..<residual.rows {
            let (residual, product, kept) = (residual.row(column), product.row(column), kept.row(column))
            for lane in 0..<lanes { residual[lane] = Float(kept[lane]) * (residual[lane] - factors.base[lane] * product[lane]) }
        }
    }

    /// The squares of a residual as the preconditioner weighs them: [1, lanes]
    private func sizes(_ residual: Matrix<Float>) -> Matrix<Double> {
        let result = Matrix<Double>(repeating: 0, 1, lanes)
        for column in 0..<residual.rows {
            let (residual, inverse) = (residual.row(column), 1 / diagonal[column])
            for lane in 0..<lanes { result.base[lane] += Double(residual[lane] * inverse * residual[lane]) }
        }
        return result
    }

    /// The sum over columns of a b: [1, lanes]
    private func sums(_ a: Matrix<Float>, _ b: Matrix<Float>) -> Matrix<Double> {
        let result = Matrix<Double>(repeating: 0, 1, lanes)
        for column in 0..<a.rows {
            let (a, b) = (a.row(column), b.row(column))
            for lane in 0..<lanes { result.base[lane] += Double(a[lane] * b[lane]) }
        }
        return result
    }

    /// a / b of each row; 0 where a row has arrived and both are.
    private func quotients(_ a: Matrix<Double>, _ b: Matrix<Double>) -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: 1, lanes)
        for lane in 0..<lanes { result.base[lane] = b.base[lane] > 0 ? Float(a.base[lane] / b.base[lane]) : 0 }
        return result
    }
}
