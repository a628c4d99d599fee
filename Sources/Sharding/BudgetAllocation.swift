// The choice of each unit that costs the least within a budget: a knapsack with one choice of each, by dynamic programming as in SPDY
// (Frantar & Alistarh, ICML 2022).

/// Choices of all units.
public enum BudgetAllocation {
    /// Steps into which a budget is cut where sizes have no common measure that makes fewer.
    public static let steps = 1 << 16

    /// The choice of each unit with the least sum of costs whose sizes fit into a budget together; of equal sums the one with the smaller sizes.
    ///
    /// Exact where what the sizes of a unit differ by has a common measure of which the budget holds no more than `steps`, as the linears of a transformer
    /// have; else sizes are rounded up to a step, so that the budget holds all the same.
    /// - Parameters:
    ///   - costs: of each unit's choices; infinite for one that must not be taken.
    ///   - sizes: of each unit's choices, in the unit of the budget.
    /// - Returns: nil when nothing fits.
    public static func choose(costs: [[Double]], sizes: [[Int]], budget: Int, steps: Int = steps) -> [Int]? {
        let least = sizes.map { $0.min() ?? 0 }
        let room = budget - least.reduce(0, +)
        guard room >= 0 else { return nil }
        // What a choice takes beyond the unit's smallest; more than all of them together is never used.
        let extra = zip(sizes, least).map { sizes, least in sizes.map { $0 - least } }
        let most = min(room, extra.reduce(0) { $0 + ($1.max() ?? 0) })
        let measure = extra.joined().reduce(0, greatestCommonDivisor)
        let step = max(measure, (most + steps - 1) / steps, 1)
        let count = most / step
        /// The least cost of the units so far with so many steps at the most, and the choice of each that has it.
        var best = [Double](repeating: 0, count: count + 1)
        var chosen: [[UInt8]] = []
        for (costs, extra) in zip(costs, extra) {
            // Smaller sizes first, so that a larger one must cost less to be taken.
            let order = costs.indices.filter { costs[$0] < .infinity }.sorted { (extra[$0], $0) < (extra[$1], $1) }
            var next = [Double](repeating: .infinity, count: count + 1), choices = [UInt8](repeating: 0, count: count + 1)
            for choice in order {
                let taken = (extra[choice] + step - 1) / step
                guard taken <= count else { continue }
                for total in taken...count where best[total - taken] + costs[choice] < next[total] {
                    (next[total], choices[total]) = (best[total - taken] + costs[choice], UInt8(choice))
                }
            }
            best = next
            chosen.append(choices)
        }
        // The fewest steps with which the least cost is reached.
        guard let least = best.last, least < .infinity, var left = best.firstIndex(of: least) else { return nil }
        var result = [Int](repeating: 0, count: costs.count)
        for unit in costs.indices.reversed() {
            result[unit] = Int(chosen[unit][left])
            left -= (extra[unit][result[unit]] + step - 1) / step
        }
        return result
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
