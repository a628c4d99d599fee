// OBQ and ExactOBS as their definition has them, in doubles and with plain loops: the oracle of `obq` and `ExactOBSTile`.

import LinearAlgebra

/// One row whose columns are fixed one after the other. At each step the remaining part of the Hessian is inverted anew, and the remaining weights are
/// those of least output error given the values of all columns that are fixed.
struct OBSReference {
    /// Damped: [columns][columns]
    let hessian: [[Double]]
    /// What the row began with.
    let weights: [Double]
    /// Of the columns that are fixed.
    private(set) var values: [Int: Double] = [:]
    /// How far the least score of a step was below the second: the smallest share of all steps.
    private(set) var closest = Double.infinity

    init(_ weights: [Double], hessian: [[Double]]) {
        self.weights = weights
        self.hessian = hessian
    }

    /// The weights as they are now.
    var current: [Double] { state().weights }

    var loss: Double {
        let errors = zip(weights, current).map { $0 - $1 }
        return zip(errors, hessian).reduce(0) { $0 + $1.0 * zip(errors, $1.1).reduce(0) { $0 + $1.0 * $1.1 } }
    }

    /// Fixes the remaining column of the least score: (its weight and (H^-1)_jj) -> score, and value.
    /// - Parameters:
    ///   - isFree: columns that may be fixed.
    ///   - first: columns that come before others, by this measure the largest first; nil for those that do not.
    /// - Returns: the column and its score; nil when none may be fixed.
    mutating func step(
        isFree: (Int) -> Bool = { _ in true }, first: (Int, Double) -> Double? = { _, _ in nil }, value: (Int, Double) -> Double = { _, _ in 0 }
    ) -> (column: Int, score: Double)? {
        let (now, diagonal, _) = state()
        var scores: [(score: Double, column: Int)] = []
        var before: [(score: Double, column: Int)] = []
        for column in weights.indices where values[column] == nil && isFree(column) {
            let error = now[column] - value(column, now[column])
            scores.append((error * error / diagonal[column], column))
            if let measure = first(column, now[column]) { before.append((-measure, column)) }
        }
        let order = (before.isEmpty ? scores : before).sorted { ($0.score, $0.column) < ($1.score, $1.column) }
        guard let best = order.first else { return nil }
        if order.count > 1 { closest = min(closest, (order[1].score - best.score) / order[1].score.magnitude) }
        values[best.column] = value(best.column, now[best.column])
        return (best.column, best.score)
    }

    /// Sets the remaining block of neighbouring columns with the least w_B^T (G_BB)^-1 w_B to zero, G the inverse of what remains of the Hessian.
    /// - Returns: that score; nil when no block remains.
    mutating func stepOfBlock(width: Int) -> Double? {
        let (now, _, inverse) = state()
        let remaining = weights.indices.filter { values[$0] == nil }
        let scores = stride(from: 0, to: remaining.count, by: width).map { first -> (score: Double, first: Int) in
            let places = first..<first + width
            let inner = Self.inverse(places.map { Array(inverse[$0][places]) })
            let block = places.map { now[remaining[$0]] }
            return (zip(block, inner).reduce(0) { $0 + $1.0 * zip(block, $1.1).reduce(0) { $0 + $1.0 * $1.1 } }, first)
        }
        let order = scores.sorted { ($0.score, $0.first) < ($1.score, $1.first) }
        guard let best = order.first else { return nil }
        if order.count > 1 { closest = min(closest, (order[1].score - best.score) / order[1].score.magnitude) }
        for place in best.first..<best.first + width { values[remaining[place]] = 0 }
        return best.score
    }

    /// The weights, the inverse of what remains of the Hessian, and its diagonal by column.
    private func state() -> (weights: [Double], diagonal: [Double], inverse: [[Double]]) {
        let remaining = weights.indices.filter { values[$0] == nil }
        let inverse = Self.inverse(remaining.map { i in remaining.map { hessian[i][$0] } })
        // H_FF (x_F - w_F) = H_FP (w_P - q_P)
        let pulls = remaining.map { i in values.reduce(0) { $0 + hessian[i][$1.key] * (weights[$1.key] - $1.value) } }
        var (result, diagonal) = (weights, weights)
        for (column, value) in values { result[column] = value }
        for (index, column) in remaining.enumerated() {
            result[column] += zip(inverse[index], pulls).reduce(0) { $0 + $1.0 * $1.1 }
            diagonal[column] = inverse[index][index]
        }
        return (result, diagonal, inverse)
    }

    /// Gauss and Jordan.
    private static func inverse(_ a: [[Double]]) -> [[Double]] {
        let order = a.count
        var m = a.enumerated().map { row, values in values + (0..<order).map { $0 == row ? 1 : 0 } }
        for pivot in 0..<order {
            let divisor = m[pivot][pivot]
            for column in pivot...pivot + order { m[pivot][column] /= divisor }
            let source = m[pivot]
            for row in 0..<order where row != pivot {
                let factor = m[row][pivot]
                guard factor != 0 else { continue }
                m[row].withUnsafeMutableBufferPointer { target in
                    for column in pivot...pivot + order { target[column] -= factor * source[column] }
                }
            }
        }
        return m.map { Array($0[order...]) }
    }
}

/// The whole of a Hessian whose upper triangle is given, damped as `factor` does it.
func damped(_ hessian: Matrix<Double>, fraction: Double) -> [[Double]] {
    let columns = hessian.columns
    let diagonal = (0..<columns).map { hessian[$0, $0] }
    let damping = fraction * diagonal.reduce(0, +) / Double(diagonal.count { $0 != 0 })
    return (0..<columns).map { i in (0..<columns).map { j in hessian[min(i, j), max(i, j)] + (i == j ? damping : 0) } }
}
