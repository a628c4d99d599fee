// The dynamic program against every combination of choices.

import SeededNumbers
import Sharding
import Testing

@Suite struct BudgetAllocationTests {
    /// All combinations that fit, the first in the order of total cost, then of total size.
    private func best(_ costs: [[Double]], _ sizes: [[Int]], _ budget: Int) -> (cost: Double, size: Int)? {
        var found: [(cost: Double, size: Int)] = [(0, 0)]
        for (costs, sizes) in zip(costs, sizes) { found = found.flatMap { sum in zip(costs, sizes).map { (sum.cost + $0, sum.size + $1) } } }
        return found.filter { $0.size <= budget && $0.cost < .infinity }.min { ($0.cost, $0.size) < ($1.cost, $1.size) }
    }

    private func total(_ values: [[Double]], _ choices: [Int]) -> Double { zip(values, choices).reduce(0) { $0 + $1.0[$1.1] } }
    private func total(_ values: [[Int]], _ choices: [Int]) -> Int { zip(values, choices).reduce(0) { $0 + $1.0[$1.1] } }

    /// Costs are small whole numbers, so that sums are exact and many are equal.
    @Test func itIsTheBestOfAllCombinations() throws {
        var generator = SeededGenerator(seed: 5)
        for round in 0..<300 {
            let units = Int.random(in: 1...6, using: &generator)
            let counts = (0..<units).map { _ in Int.random(in: 1...4, using: &generator) }
            let most = round % 3 == 0 ? 3.0 : 50
            let costs = counts.map { count in
                (0..<count).map { _ in
                    Int.random(in: 0..<20, using: &generator) == 0 ? Double.infinity : Double.random(in: 0...most, using: &generator).rounded()
                }
            }
            let sizes = counts.map { count in (0..<count).map { _ in Int.random(in: 1...40, using: &generator) * (round % 2 == 0 ? 1 : 1000) } }
            let budget = Int.random(in: 0...40 * units, using: &generator) * (round % 2 == 0 ? 1 : 1000)
            let found = BudgetAllocation.choose(costs: costs, sizes: sizes, budget: budget)
            let expected = best(costs, sizes, budget)
            #expect((found == nil) == (expected == nil), "round \(round)")
            guard let found, let expected else { continue }
            #expect(total(costs, found) == expected.cost && total(sizes, found) == expected.size, "round \(round): \(found)")
            #expect(found == BudgetAllocation.choose(costs: costs, sizes: sizes, budget: budget))
        }
    }

    /// Sizes without a common measure, and fewer steps than they would need: the budget holds, and no room is left that a step would fill.
    @Test func coarseStepsKeepTheBudget() throws {
        var generator = SeededGenerator(seed: 6)
        for _ in 0..<100 {
            let costs = (0..<8).map { _ in [9.0, 3, 1].map { $0 * Double.random(in: 0.5...2, using: &generator) } }
            let sizes = (0..<8).map { _ in [2, 3, 4].map { $0 * Int.random(in: 9000...11000, using: &generator) } }
            let least = sizes.reduce(0) { $0 + $1.min()! }
            let budget = least + Int.random(in: 0...150_000, using: &generator)
            let found = try #require(BudgetAllocation.choose(costs: costs, sizes: sizes, budget: budget, steps: 500))
            #expect(total(sizes, found) <= budget)
            // What rounding up can cost: a step of each unit.
            let narrower = try #require(best(costs, sizes, budget - 8 * ((budget - least) / 500 + 1)) ?? best(costs, sizes, least))
            #expect(total(costs, found) <= narrower.cost + 1e-9)
        }
    }

    @Test func equalCostsTakeTheLeastRoom() {
        #expect(BudgetAllocation.choose(costs: [[1, 1, 1], [2, 1, 1]], sizes: [[4, 2, 8], [1, 5, 3]], budget: 100) == [1, 2])
        #expect(BudgetAllocation.choose(costs: [[0, 0]], sizes: [[7, 7]], budget: 7) == [0])
    }

    @Test func nothingFitsBelowTheSmallestChoices() {
        #expect(BudgetAllocation.choose(costs: [[1, 0], [1, 0]], sizes: [[10, 20], [10, 20]], budget: 19) == nil)
        #expect(BudgetAllocation.choose(costs: [[1, 0], [1, 0]], sizes: [[10, 20], [10, 20]], budget: 20) == [0, 0])
        #expect(BudgetAllocation.choose(costs: [[.infinity, 0], [1, 0]], sizes: [[10, 20], [10, 20]], budget: 29) == nil)
        #expect(BudgetAllocation.choose(costs: [[.infinity, 0], [1, 0]], sizes: [[10, 20], [10, 20]], budget: 30) == [1, 0])
    }
}
