// The run that measures losses, as a recipe.

internal import Failures
internal import Recipes
internal import Sharding

extension Recipe {
    /// The recipe of the run that measures what a budget is spent by: dense weights before every stage, so that nothing that is measured depends on a choice, and
    /// none of what only the result depends on.
    var measuringLosses: Recipe {
        var recipe = self
        (recipe.budget, recipe.evaluation, recipe.propagation) = (nil, nil, .none)
        (recipe.maxShardSize, recipe.gguf, recipe.cache) = (5_000_000_000, GGUFSettings(), nil)
        for index in recipe.rules.indices { recipe.rules[index] = recipe.rules[index].withOwnTargets }
        return recipe
    }
}

extension Rule {
    /// With dense weights before every stage there is no mismatch, so that a linear has no other target than its own outputs.
    fileprivate var withOwnTargets: Rule {
        func own(_ treatment: Treatment) -> Treatment {
            var treatment = treatment
            (treatment.target, treatment.targetStrength, treatment.streamStrength) = (.layer, 1, nil)
            return treatment
        }
        var rule = self
        (rule.treatment, rule.choices) = (own(treatment), choices.map(own))
        return rule
    }
}

extension Plan {
    /// The plan; or, while a budget is still to choose, the plans in which all units have their first choice, their second, and so on.
    var uniformChoices: [Plan] {
        let most = units.map { choices(of: $0).count }.max() ?? 0
        return most == 0 ? [self] : (0..<most).map { index in choosing { min(index, choices(of: $0).count - 1) } }
    }
}

extension LossTable {
    /// The table by which a recipe's budget is spent.
    ///
    /// - Parameters:
    ///   - given: the path in the recipe; nil: none.
    ///   - own: where a run keeps the table that it has measured.
    ///   - plan: the hash of the run that would measure it.
    /// - Returns: nil where it is still to be measured.
    static func find(_ given: String?, own: String, plan: String) throws -> LossTable? {
        guard let given else { return (try? read(own)).flatMap { $0.isComplete && $0.plan == plan ? $0 : nil } }
        let table = try read(given)
        guard table.plan == plan else {
            throw PipelineError(
                .badInput,
                "\(given) was measured for another plan (\(table.plan), this one is \(plan)): a table serves other budgets, evaluations and propagations, but only the same "
                    + "version, model, calibration, choices and settings; leave out `losses` to measure anew")
        }
        guard table.isComplete else { throw PipelineError(.badInput, "\(given) is unfinished: the run that measures it must come to its end") }
        return table
    }
}
