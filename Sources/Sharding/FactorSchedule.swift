// How a factorisation goes on in time when its panels lie on several ranks.

internal import LinearAlgebra

/// A tile Cholesky with lookahead over ranks that own its panels in turn: a panel is on its way while the ranks update later ones.
package struct FactorSchedule {
    /// Multiplications and additions of the rank that has the most.
    package let busiest: Double
    /// Ranks that work on the same panels.
    private let together: HostShape
    private let threads: Int
    private let columns: Int
    private let panels: [Range<Int>]
    /// Of each panel: whose ranks work on it.
    private let owners: [Int]

    /// - Parameters:
    ///   - threads: of a rank. Tiles go to threads whole, so that few tiles leave threads idle; they count as busy here.
    ///   - ranksOfHost: consecutive ranks of a host.
    ///   - sharesPanels: whether they share the work on their panels, but for the tiles on the diagonal.
    package init(columns: Int, ranks: Int, threads: Int, ranksOfHost: Int = 1, sharesPanels: Bool = false) {
        let assignment = Assignment(ranks: ranks, ranksOfHost: ranksOfHost), together = HostShape(ranks: ranks, most: sharesPanels ? ranksOfHost : 1)
        let operations = (0..<ranks).map { assignment.factorOperations(columns: columns, of: $0) }
        busiest =
            (0..<together.hosts).map { host in
                let ranks = together.ranks(of: host)
                return ranks.reduce(0) { $0 + operations[$1] } / Double(ranks.count)
            }.max() ?? 0
        (self.columns, self.threads, self.together) = (columns, threads, together)
        panels = choleskyPanels(order: columns)
        owners = panels.indices.map { assignment.panelOwner($0) / together.most }
    }

    /// Seconds from the sums of the panels to the last copy of a factored one: at least those of the busiest rank, and those of all copies.
    ///
    /// - Parameters:
    ///   - perOperation: seconds of a multiplication and addition of a rank.
    ///   - copy: seconds of copying a panel to all ranks.
    package func seconds(perOperation: Double, copy: (_ panel: Int) -> Double) -> Double {
        // A copy begins when all are there, and ends for all at once.
        var clocks = [Double](repeating: 0, count: together.hosts), arrived = 0.0
        func send(_ panel: Int) {
            clocks[owners[panel]] += perOperation * factoring(panel)
            arrived = (clocks.max() ?? 0) + copy(panel)
        }
        send(0)
        for panel in panels.indices {
            for place in clocks.indices { clocks[place] = max(clocks[place], arrived) }
            guard panel + 1 < panels.count else { break }
            clocks[owners[panel + 1]] += perOperation * update(panel, panel + 1...panel + 1, of: owners[panel + 1])
            send(panel + 1)
            guard panel + 2 < panels.count else { continue }
            for place in clocks.indices { clocks[place] += perOperation * update(panel, panel + 2...panels.count - 1, of: place) }
        }
        return clocks.max() ?? 0
    }

    /// The tile on the diagonal, by one thread; then those below it.
    private func factoring(_ panel: Int) -> Double {
        let width = Double(panels[panel].count), rows = Double(columns - panels[panel].lowerBound)
        let ranks = together.ranks(of: owners[panel]).count
        let below = width * width * (rows - width) / Double(ranks)
        return width * width * width / 3 * Double(threads) + below * idling(panels.count - panel - 1, threads * ranks)
    }

    /// Taking a panel from some later ones that ranks work on together.
    private func update(_ panel: Int, _ later: ClosedRange<Int>, of place: Int) -> Double {
        var (tiles, operations) = (0, 0.0)
        for other in later where owners[other] == place {
            let target = panels[other]
            tiles += panels.count - other
            operations += 2 * Double(panels[panel].count) * Double(target.count) * (Double(columns - target.lowerBound) - Double(target.count) / 2)
        }
        let ranks = together.ranks(of: place).count
        return operations / Double(ranks) * idling(tiles, threads * ranks)
    }

    /// Threads over threads that have work, when equal units go to them.
    private func idling(_ units: Int, _ threads: Int) -> Double {
        units == 0 ? 1 : Double((units + threads - 1) / threads * threads) / Double(units)
    }
}
