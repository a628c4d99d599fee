// From a table of losses and a budget to the choice of each unit.

public import Compression
internal import Failures
internal import Recipes
internal import Sharding

/// A unit with what was chosen for it.
public struct ChosenUnit: Codable, Sendable {
    public let block: Int
    /// `model.layers.3, gate+up`.
    public let name: String
    /// nil: its weights are not quantized.
    public let bits: Int?
    public let group: Int
    /// nil: its weights are not pruned.
    public let sparsity: Sparsity?
    /// Of the relative output error that this choice leaves, the square.
    public let loss: Double?
    /// What the predictions lose by it, as far as losses add up: nats of a token.
    public let divergence: Double
}

/// How a budget was spent.
public struct BudgetOutcome: Codable, Sendable {
    public let units: [ChosenUnit]
    /// Bits of a weight on average, scales and zero points included; or the share of zeros, of a budget of sparsity.
    public let average: Double
    public let table: String
}

extension Plan {
    /// The plan in which the table's losses are least within the recipe's budget, and what it chose.
    ///
    /// - Parameters:
    ///   - path: of the table, for messages.
    ///   - outputBytes: of all tensors of the result of a plan.
    /// - Throws: `PlanError.budget` when even the smallest choices take more.
    func choosing(by table: LossTable, path: String, outputBytes: (Plan) throws -> Int) throws -> (plan: Plan, outcome: BudgetOutcome) {
        let units = units, sizes = units.map(sizes), costs = table.units.map(\.costs)
        let weights = Double(max(table.units.reduce(0) { $0 + $1.weights }, 1))
        let smallest = sizes.map { sizes in sizes.indices.min { sizes[$0] < sizes[$1] } ?? 0 }
        func total(_ chosen: [Int]) -> Int { zip(sizes, chosen).reduce(0) { $0 + $1.0[$1.1] } }
        func plan(_ chosen: [Int]) -> Plan {
            let byUnit = Dictionary(uniqueKeysWithValues: zip(units, chosen))
            return choosing { byUnit[$0] ?? 0 }
        }
        func choose(_ budget: Int) throws -> [Int] {
            if let chosen = BudgetAllocation.choose(costs: costs, sizes: sizes, budget: budget) { return chosen }
            let (left, least) = (Double(budget) / weights, Double(total(smallest)) / weights)
            if case .sparsity(let share)? = recipe.budget?.limit {
                throw PlanError.budget(
                    "the budget of `sparsity` asks for \(share) of zeros, but the largest choices of all units make \(formatted(1 - least)): lower it, or allow larger `choices`"
                )
            }
            throw PlanError.budget(
                "the budget of `bits` leaves \(formatted(left)) bits of a weight, but the smallest choices of all units take \(formatted(least)), scales included: raise it, "
                    + "or allow smaller `choices` or larger `groups`")
        }
        var chosen: [Int]
        switch recipe.budget?.limit {
        case .bits(let bits)?: chosen = try choose(Int((bits * weights).rounded(.down)))
        case .size(let bytes)?:
            // What is not chosen takes the same room in any result, but for what a format adds to some widths.
            var budget = total(smallest) + 8 * (bytes - (try outputBytes(plan(smallest))))
            chosen = try choose(budget)
            while case let excess = try outputBytes(plan(chosen)) - bytes, excess > 0 {
                budget = min(budget, total(chosen)) - 8 * excess
                chosen = try choose(budget)
            }
        case .sparsity(let share)?: chosen = try choose(Int((weights * (1 - share)).rounded()))
        case nil: throw PipelineError(.internalError, "a table of losses without a budget")
        }
        let share = Double(total(chosen)) / weights
        let average = if case .sparsity? = recipe.budget?.limit { 1 - share } else { share }
        let outcome = BudgetOutcome(
            units: zip(units, zip(table.units, chosen)).map { unit, found in
                let choice = found.0.choices[found.1]
                return ChosenUnit(
                    block: unit.block, name: unit.name, bits: choice.bits, group: choice.group, sparsity: choice.sparsity, loss: choice.loss,
                    divergence: found.0.costs[found.1])
            }, average: average, table: path)
        return (plan(chosen), outcome)
    }
}

private func formatted(_ bits: Double) -> String { "\((bits * 1000).rounded() / 1000)" }
