// What hosts send for the panels of a matrix: their sums to the owners, one for each host, and the factored ones to each host.

internal import LinearAlgebra

/// Bytes that ranks put into messages for the panels of one factor.
struct PanelMessages {
    /// Of each rank.
    private(set) var sent: [Double]
    /// Of all ranks, in messages between hosts: a sum for each host but the owner's, and a factored panel once.
    private(set) var betweenHosts = 0.0

    /// - Parameter elementBytes: of a factored panel's elements.
    init(columns: Int, elementBytes: Double, shape: HostShape) {
        let assignment = Assignment(ranks: shape.ranks, ranksOfHost: shape.most), hosts = shape.hosts
        sent = Array(repeating: 0, count: shape.ranks)
        for (index, panel) in choleskyPanels(order: columns).enumerated() {
            let owner = assignment.panelOwner(index), (rows, width) = (columns - panel.lowerBound, panel.count)
            // What lies above the diagonal is not summed.
            let sum = 8 * Double(rows * width - width * (width - 1) / 2), copy = elementBytes * Double(rows * width)
            for host in 0..<hosts {
                let carrier = shape.carrier(of: owner, on: host)
                if carrier != owner { sent[carrier] += sum }
            }
            guard hosts > 1 else { continue }
            sent[owner] += copy
            betweenHosts += Double(hosts - 1) * sum + copy
        }
    }
}

extension HostShape {
    /// Bytes that a rank sends of such a number that all ranks together have for all others: its own to a rank of each other host, and what comes to its host
    /// over it, which is its share, to the host's others.
    func copied(_ bytes: Double) -> Double {
        let share = bytes / Double(ranks)
        return (hosts > 1 ? share : 0) + (most > 1 ? share * Double(hosts) : 0)
    }

    /// Bytes of a sum over hosts that a rank carries to its owners.
    func carried(_ bytes: Double) -> Double { bytes * Double(hosts - 1) / Double(ranks) }
}
