// How a factorisation goes on in time when its panels lie on several ranks: they wait for each panel.

internal import LinearAlgebra

/// Arithmetic of a tile Cholesky of panels that ranks own in turn, as it limits the time; multiplications and additions of a rank.
package struct FactorSchedule {
    /// Of the rank that has the most.
    package private(set) var busiest = 0.0
    /// One after the other: each panel is factored by its owner, then the rank with the most later panels updates them. At least `busiest`, and all of
    /// it on one rank.
    package private(set) var critical = 0.0

    /// - Parameters:
    ///   - threads: of a rank. Tiles go to threads whole, so that few tiles leave threads idle; they count as busy here.
    ///   - ranksOfHost: consecutive ranks of a host.
    ///   - sharesPanels: whether they share the work on their panels, but for the tiles on the diagonal.
    package init(columns: Int, ranks: Int, threads: Int, ranksOfHost: Int = 1, sharesPanels: Bool = false) {
        let assignment = Assignment(ranks: ranks, ranksOfHost: ranksOfHost), shape = HostShape(ranks: ranks, most: sharesPanels ? ranksOfHost : 1)
        let panels = choleskyPanels(order: columns)
        let operations = (0..<ranks).map { assignment.factorOperations(columns: columns, of: $0) }
        busiest =
            (0..<shape.hosts).map { host in
                let together = shape.ranks(of: host)
                return together.reduce(0) { $0 + operations[$1] } / Double(together.count)
            }.max() ?? 0
        let owners = panels.indices.map { assignment.panelOwner($0) / shape.most }
        for (index, panel) in panels.enumerated() {
            let (width, rows) = (Double(panel.count), Double(columns - panel.lowerBound))
            // The tile on the diagonal, by one thread; then those below it.
            critical += width * width * width / 3 * Double(threads)
            let owning = shape.ranks(of: owners[index]).count
            critical += width * width * (rows - width) / Double(owning) * idling(panels.count - index - 1, threads * owning)
            var updates: [Int: (tiles: Int, operations: Double)] = [:]
            for later in panels.indices.dropFirst(index + 1) {
                let target = panels[later]
                let (tiles, operations) = updates[owners[later]] ?? (0, 0)
                updates[owners[later]] = (
                    tiles + panels.count - later,
                    operations + 2 * width * Double(target.count) * (Double(columns - target.lowerBound) - Double(target.count) / 2)
                )
            }
            critical +=
                updates.map { owner, update in
                    let count = shape.ranks(of: owner).count
                    return update.operations / Double(count) * idling(update.tiles, threads * count)
                }.max() ?? 0
        }
    }

    /// Threads over threads that have work, when equal units go to them.
    private func idling(_ units: Int, _ threads: Int) -> Double {
        units == 0 ? 1 : Double((units + threads - 1) / threads * threads) / Double(units)
    }
}
