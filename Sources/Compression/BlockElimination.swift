// One row of weights that leave it in blocks of neighbouring columns.

import LinearAlgebra

/// A row on its way through ExactOBS with block sparsity (Frantar, Singh, Alistarh, "Optimal Brain Compression", NeurIPS 2022, section 4).
///
/// What taking out the columns B of a block adds to the output error, with G as in `RowElimination`:
///
///     cost = w_B^T (G_BB)^-1 w_B
///
/// The columns of a block leave one after the other, each of which the rest makes up for; that comes to the same as leaving at once. Remaining blocks lie at
/// the first places of the row, and the columns of each beside each other.
final class BlockElimination {
    let row: RowElimination
    private let inverse: InverseHessian
    /// Columns of a block.
    private let width: Int
    /// G_ij of the columns j < i of each remaining block, by its place: [columns / width, width * width]. Empty where blocks have one column.
    private let couplings: Matrix<Double>
    /// L of G_BB = L L^T, and L^-1 w_B: [width + 1, width]
    private let root: Matrix<Double>

    /// - Parameter width: of which the Hessian's columns are a multiple.
    init(_ inverse: InverseHessian, width: Int) {
        precondition(inverse.columns % width == 0, "blocks of \(width) in \(inverse.columns) columns")
        (self.inverse, self.width) = (inverse, width)
        row = RowElimination(inverse)
        couplings = Matrix(uninitialized: width > 1 ? inverse.columns / width : 0, width * width)
        root = Matrix(uninitialized: width + 1, width)
    }

    /// Blocks that remain, at the first places.
    var remaining: Int { row.remaining / width }

    /// The number of the block at a place, from the left.
    func block(at place: Int) -> Int { Int(row.columns[place * width]) / width }

    /// Begins a row, see `RowElimination.begin`.
    func begin(_ weights: UnsafePointer<Float>, stride: Int) {
        row.begin(weights, stride: stride)
        for block in 0..<couplings.rows {
            let couplings = couplings.row(block), first = block * width
            for i in 1..<width { for j in 0..<i { couplings[i * width + j] = inverse.values[first + i, first + j] } }
        }
    }

    /// The place of the block with the least cost; of equal ones that of the block further left. nil: none remains.
    func first() -> (place: Int, cost: Double)? {
        var best: (place: Int, cost: Double)?
        for place in 0..<remaining {
            let cost = cost(place)
            if let found = best, cost > found.cost || cost == found.cost && block(at: place) > block(at: found.place) { continue }
            best = (place, cost)
        }
        return best
    }

    /// What setting a block to zero adds to the output error.
    private func cost(_ place: Int) -> Double {
        guard width > 1 else { return row.cost(place) }
        let couplings = couplings.row(place), first = place * width, solved = root.row(width)
        var cost = 0.0
        for i in 0..<width {
            let line = root.row(i)
            var (weight, pivot) = (row.weights[first + i], row.diagonal[first + i])
            for j in 0..<i {
                let other = root.row(j)
                var element = couplings[i * width + j]
                for k in 0..<j { element -= line[k] * other[k] }
                element /= other[j]
                line[j] = element
                weight -= element * solved[j]
                pivot -= element * element
            }
            line[i] = max(pivot, row.least[first + i]).squareRoot()
            solved[i] = weight / line[i]
            cost += solved[i] * solved[i]
        }
        return cost
    }

    /// Sets the block at a place to zero and takes its columns out; the last block moves there.
    func remove(_ place: Int) {
        let last = remaining - 1
        for column in 0..<width { row.exchange(place * width + column, last * width + column) }
        if width > 1, place != last { couplings.row(place).update(from: couplings.row(last), count: width * width) }
        for column in (last * width..<(last + 1) * width).reversed() {
            row.remove(column, error: row.weights[column])
            if width > 1 { subtractLastStep(from: last) }
        }
    }

    /// G_ij -= u_i u_j of the blocks that remain.
    private func subtractLastStep(from blocks: Int) {
        let step = row.lastStep
        for block in 0..<blocks {
            let couplings = couplings.row(block), u = step + block * width
            for i in 1..<width { for j in 0..<i { couplings[i * width + j] -= u[i] * u[j] } }
        }
    }
}

extension BlockElimination {
    /// Bytes of a row in hand.
    package static func byteCount(columns: Int, width: Int) -> Int {
        RowElimination.byteCount(columns: columns) + (width > 1 ? 8 * columns * width : 0)
    }
}
