// Which rank works on which expert of a mixture.

extension Assignment {
    /// The experts of each rank, those that cost most first: each goes to the rank that has the least so far (greedy packing).
    ///
    /// - Parameter costs: of each expert, in any unit.
    public func experts(costs: [Double]) -> [[Int]] {
        var owned = [[Int]](repeating: [], count: ranks), loads = [Double](repeating: 0, count: ranks)
        for expert in costs.indices.sorted(by: { (costs[$1], $0) < (costs[$0], $1) }) {
            let rank = loads.indices.min { loads[$0] < loads[$1] } ?? 0
            owned[rank].append(expert)
            loads[rank] += costs[expert]
        }
        return owned
    }
}
