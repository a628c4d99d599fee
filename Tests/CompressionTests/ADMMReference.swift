// ADMM for pruning as the paper has it, in doubles and with plain loops: the oracle of `ADMMTile`.

import Compression
import LinearAlgebra

/// Boza, arXiv 2401.02938, section 3: weights and Hessian in units in which the inputs of all columns have norm 1. The best weights under the last mask are
/// those that solve its normal equations.
struct ADMMReference {
    /// [rows][columns]
    private(set) var weights: [[Double]] = []
    private(set) var kept: [[Bool]] = []
    private(set) var loss: [Double] = []

    /// - Parameters:
    ///   - hessian: damped; only its upper triangle is read.
    init(_ layer: Matrix<Float>, hessian: Matrix<Double>, sparsity: Sparsity, steps: Int, rho: Double) {
        let (rows, columns) = (layer.rows, layer.columns)
        let norms = (0..<columns).map { hessian[$0, $0].squareRoot() }
        let h = (0..<columns).map { i in (0..<columns).map { j in hessian[min(i, j), max(i, j)] / norms[i] / norms[j] } }
        let w = (0..<rows).map { i in (0..<columns).map { j in Double(layer[i, j]) * norms[j] } }
        var penalised = h
        for i in 0..<columns { penalised[i][i] += rho }
        let target = w.map { Self.product($0, h) }
        var (v, u) = (w, w.map { $0.map { _ in 0.0 } })
        for _ in 0..<steps {
            let sum = zip(v, u).map { v, u in zip(v, u).map { $0 + $1 } }
            kept = Self.mask(sum.map { $0.map(\.magnitude) }, sparsity)
            for row in 0..<rows {
                let z = (0..<columns).map { kept[row][$0] ? sum[row][$0] : 0 }
                u[row] = (0..<columns).map { u[row][$0] + v[row][$0] - z[$0] }
                v[row] = Self.solution(penalised, (0..<columns).map { target[row][$0] + rho * (z[$0] - u[row][$0]) })
            }
        }
        for row in 0..<rows {
            let support = (0..<columns).filter { kept[row][$0] }
            let solved = Self.solution(support.map { i in support.map { h[i][$0] } }, support.map { target[row][$0] })
            var result = [Double](repeating: 0, count: columns)
            for (index, column) in support.enumerated() { result[column] = solved[index] }
            let errors = zip(w[row], result).map { $0 - $1 }
            loss.append(zip(errors, Self.product(errors, h)).reduce(0) { $0 + $1.0 * $1.1 })
            weights.append(zip(result, norms).map { $0 / $1 })
        }
    }

    private static func mask(_ scores: [[Double]], _ sparsity: Sparsity) -> [[Bool]] {
        switch sparsity {
        case .share(let share):
            let sorted = scores.flatMap { $0 }.sorted(), threshold = sorted[Int(Double(sorted.count) * share)]
            return scores.map { $0.map { $0 > threshold } }
        case .pattern(let pruned, let of):
            return scores.map { row in
                row.indices.map { column in
                    let group = column / of * of..<column / of * of + of
                    return group.count { row[$0] < row[column] || row[$0] == row[column] && $0 < column } >= pruned
                }
            }
        }
    }

    private static func product(_ x: [Double], _ h: [[Double]]) -> [Double] {
        h.indices.map { j in zip(x, h[j]).reduce(0) { $0 + $1.0 * $1.1 } }
    }

    /// a^-1 b by elimination, for a symmetric and positive definite.
    private static func solution(_ a: [[Double]], _ b: [Double]) -> [Double] {
        var (a, b) = (a, b)
        for pivot in b.indices {
            for row in b.indices where row > pivot {
                let factor = a[row][pivot] / a[pivot][pivot]
                guard factor != 0 else { continue }
                for column in pivot..<b.count { a[row][column] -= factor * a[pivot][column] }
                b[row] -= factor * b[pivot]
            }
        }
        for row in b.indices.reversed() {
            b[row] = (b[row] - (row + 1..<max(b.count, row + 1)).reduce(0) { $0 + a[row][$1] * b[$1] }) / a[row][row]
        }
        return b
    }
}
