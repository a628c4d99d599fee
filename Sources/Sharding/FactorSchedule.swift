// How a factorisation goes on in time when its panels lie on several ranks: they wait for each panel.

internal import LinearAlgebra

/// Arithmetic of a tile Cholesky of panels that ranks own in turn, as it limits the time; multiplications and additions.
package struct FactorSchedule {
    /// Of the rank that has the most.
    package private(set) var busiest = 0.0
    /// One after the other: each panel is factored by its owner, then the rank with the most later panels updates them. At least `busiest`, and all of
    /// it on one rank.
    package private(set) var critical = 0.0

    /// - Parameter threads: of a rank. Tiles go to threads whole, so that few tiles leave threads idle; they count as busy here.
    package init(columns: Int, ranks: Int, threads: Int) {
        let assignment = Assignment(ranks: ranks)
        let panels = choleskyPanels(order: columns)
        busiest = (0..<min(ranks, panels.count)).map { assignment.factorOperations(columns: columns, of: $0) }.max() ?? 0
        for (index, panel) in panels.enumerated() {
            let (width, rows) = (Double(panel.count), Double(columns - panel.lowerBound))
            // The tile on the diagonal, by one thread; then those below it.
            critical += width * width * width / 3 * Double(threads)
            critical += width * width * (rows - width) * idling(panels.count - index - 1, threads)
            // The owner of the next panel has the most to update: the largest, and no fewer than others.
            let own = stride(from: index + 1, to: panels.count, by: ranks)
            let tiles = own.reduce(0) { $0 + panels.count - $1 }
            critical +=
                idling(tiles, threads)
                * own.reduce(0) { sum, later in
                    let target = panels[later]
                    return sum + 2 * width * Double(target.count) * (Double(columns - target.lowerBound) - Double(target.count) / 2)
                }
        }
    }

    /// Threads over threads that have work, when equal units go to them.
    private func idling(_ units: Int, _ threads: Int) -> Double {
        units == 0 ? 1 : Double((units + threads - 1) / threads * threads) / Double(units)
    }
}
