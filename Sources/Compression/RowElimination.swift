// One row of weights whose columns are fixed one after the other, in an order of the row's own: the optimal brain surgeon.

import LinearAlgebra

/// A row on its way through OBQ or ExactOBS (Frantar, Singh, Alistarh, "Optimal Brain Compression", NeurIPS 2022, sections 4 and 5).
///
/// Where column j is given the value q, the remaining columns make up for it, and leave the inverse of the Hessian without it:
///
///     w = w - (w_j - q) / G_jj G_j:        G = G - G_:j G_j: / G_jj        G = H^-1 at first
///
/// As published every row has a copy of G, all of which is written at each step. Here G stays as it is, and what has been subtracted from it is remembered:
/// u = G_j: / sqrt(G_jj) of each column that has left, for the columns that remained. A step makes the one row of G that it needs, from H^-1 and all u, and
/// the diagonal is kept. These are a Cholesky factorisation's numbers whose pivots the row chooses as it goes: c^3 / 3 multiplications and additions for
/// all columns where the published updates take 2 c^3, half the memory, and nothing that is written twice.
final class RowElimination {
    private let inverse: InverseHessian
    private let order: Int
    /// Columns that remain, at the first places.
    private(set) var remaining = 0
    /// The weights of the remaining columns as they are by now, by place.
    let weights: UnsafeMutablePointer<Double>
    /// G_jj by place; of dead columns what they are compared by.
    let diagonal: UnsafeMutablePointer<Double>
    /// The least that G_jj can be, by place.
    let least: UnsafeMutablePointer<Double>
    /// Place -> column.
    let columns: UnsafeMutablePointer<Int32>
    /// The u of each step one after the other, each as long as columns remained before it.
    private let steps: Matrix<Double>
    /// What the pointers by place point into: [3, columns], [1, columns]
    private let state: Matrix<Double>
    private let columnOfPlace: Matrix<Int32>

    init(_ inverse: InverseHessian) {
        self.inverse = inverse
        order = inverse.columns
        steps = Matrix(uninitialized: 1, order * (order + 1) / 2)
        state = Matrix(uninitialized: 3, order)
        columnOfPlace = Matrix(uninitialized: 1, order)
        (weights, diagonal, least, columns) = (state.row(0), state.row(1), state.row(2), columnOfPlace.base)
    }

    /// What setting the weight at a place to zero adds to the output error.
    func cost(_ place: Int) -> Double { weights[place] * weights[place] / diagonal[place] }

    /// Begins a row.
    /// - Parameters:
    ///   - row: its first weight.
    ///   - stride: from one of its weights to the next.
    func begin(_ row: UnsafePointer<Float>, stride: Int) {
        remaining = order
        for column in 0..<order {
            weights[column] = Double(row[column * stride])
            diagonal[column] = inverse.comparedDiagonal[column]
            least[column] = inverse.leastDiagonal[column]
            columns[column] = Int32(column)
        }
    }

    /// The place with the least score; of equal ones that of the column further left. nil: none has one.
    /// - Parameter score: by place; nil for columns that may not leave.
    @inline(__always) func first(_ score: (Int) -> Double?) -> (place: Int, score: Double)? {
        var best: (place: Int, score: Double)?
        for place in 0..<remaining {
            guard let score = score(place) else { continue }
            if let found = best, score > found.score || score == found.score && columns[place] > columns[found.place] { continue }
            best = (place, score)
        }
        return best
    }

    /// Takes out the column at a place; the last place moves there.
    /// - Parameter error: its weight minus the value that it has from now on.
    /// - Returns: what that adds to the row's output error.
    @discardableResult func remove(_ place: Int, error: Double) -> Double {
        let count = remaining, last = count - 1, u = step(order - count)
        let source = inverse.values.row(Int(columns[place]))
        for index in 0..<count { u[index] = source[Int(columns[index])] }
        subtractEarlier(from: u, place)
        let pivot = max(u[place], least[place]), root = 1 / pivot.squareRoot(), change = error * root
        for index in 0..<count {
            u[index] *= root
            weights[index] -= change * u[index]
            diagonal[index] = max(diagonal[index] - u[index] * u[index], least[index])
        }
        if place != last {
            for row in 0..<3 { state.row(row)[place] = state.row(row)[last] }
            columns[place] = columns[last]
            for index in 0...order - count { step(index)[place] = step(index)[last] }
        }
        remaining = last
        return change * change
    }

    /// u of the column that was taken out last, by the places of the columns that remain.
    var lastStep: UnsafePointer<Double> { UnsafePointer(step(order - remaining - 1)) }

    /// Two columns change places.
    func exchange(_ a: Int, _ b: Int) {
        guard a != b else { return }
        for row in 0..<3 { swapElements(state.row(row), a, b) }
        (columns[a], columns[b]) = (columns[b], columns[a])
        for index in 0..<order - remaining { swapElements(step(index), a, b) }
    }

    private func swapElements(_ values: UnsafeMutablePointer<Double>, _ a: Int, _ b: Int) { (values[a], values[b]) = (values[b], values[a]) }

    private func step(_ index: Int) -> UnsafeMutablePointer<Double> { steps.base + (index * order - index * (index - 1) / 2) }

    /// Takes from a row of H^-1 what the columns that have left took from it: u -= sum of u' u'_place over earlier steps.
    private func subtractEarlier(from u: UnsafeMutablePointer<Double>, _ place: Int) {
        let count = remaining, taken = order - remaining
        var index = 0
        while index + 4 <= taken {
            let (a, b, c, d) = (step(index), step(index + 1), step(index + 2), step(index + 3))
            let (fa, fb, fc, fd) = (a[place], b[place], c[place], d[place])
            for column in 0..<count { u[column] -= (fa * a[column] + fb * b[column]) + (fc * c[column] + fd * d[column]) }
            index += 4
        }
        while index < taken {
            let a = step(index), fa = a[place]
            for column in 0..<count { u[column] -= fa * a[column] }
            index += 1
        }
    }
}

extension RowElimination {
    /// Multiplications and additions of taking out a share of a row's columns.
    package static func operations(columns: Int, share: Double) -> Double {
        let c = Double(columns)
        return c * c * c * (share * share - 2 * share * share * share / 3)
    }

    /// Bytes of a row in hand.
    package static func byteCount(columns: Int) -> Int { 4 * columns * (columns + 1) + (3 * 8 + 4) * columns }

    /// Rows of a tile that one thread takes in turn.
    static let rowsOfUnit = 4
}
