// What gets one choice together when a budget is spent: linears of which clients make one, or take for alike.

internal import Compression
public import Recipes
internal import Transformers

/// The linears of a stage for which a budget chooses a width or a share of zeros, or those of all experts of a block.
public struct BudgetUnit: Sendable, Hashable {
    public let block: Int
    /// The places of its stages in the block.
    public let stages: Range<Int>
    /// `model.layers.3, gate+up`.
    public let name: String
}

extension Plan {
    /// The units for which a budget is still to choose, in the order of the model.
    public var units: [BudgetUnit] {
        blocks.enumerated().flatMap { index, block -> [BudgetUnit] in
            let dense = block.block.denseStages.count
            func unit(_ stages: Range<Int>, _ name: String) -> BudgetUnit? {
                guard block.stages[stages].contains(where: { $0.choiceCount > 0 }) else { return nil }
                return BudgetUnit(block: index, stages: stages, name: "\(block.block.name), \(name)")
            }
            let units = (0..<dense).map { unit($0..<$0 + 1, block.stages[$0].stage.name) } + [unit(dense..<block.stages.count, "experts")]
            return units.compactMap { $0 }
        }
    }

    /// The linears of a unit for which something is chosen.
    public func linears(of unit: BudgetUnit) -> [LinearPlan] {
        blocks[unit.block].stages[unit.stages].flatMap(\.linears).filter { !$0.choices.isEmpty }
    }

    /// The treatments among which a unit has the choice, those that take the least room first.
    public func choices(of unit: BudgetUnit) -> [Treatment] { linears(of: unit).first?.choices.map(\.treatment) ?? [] }

    /// What each choice of a unit takes of the budget: bits (codes, scales, and the zero points of asymmetric grids), or weights that are kept.
    public func sizes(of unit: BudgetUnit) -> [Int] {
        choices(of: unit).indices.map { choice in linears(of: unit).reduce(0) { $0 + $1.choices[choice].size(of: $1.linear) } }
    }

    /// The plan in which each unit has one of its choices.
    ///
    /// - Parameter choice: of a unit, the place among its choices.
    public func choosing(_ choice: (BudgetUnit) -> Int) -> Plan {
        var plan = self
        for unit in units {
            let chosen = choice(unit)
            var stages = plan.blocks[unit.block].stages
            for place in unit.stages { stages[place] = stages[place].choosing(chosen) }
            plan.blocks[unit.block] = BlockPlan(block: plan.blocks[unit.block].block, stages: stages)
        }
        return plan
    }

    /// - Throws: `PlanError` where linears of a unit have different choices, or a budget has nothing to choose.
    func checkUnits() throws(PlanError) {
        let units = units
        for unit in units {
            let linears = linears(of: unit)
            guard let first = linears.first else { continue }
            for other in linears where other.choices.map(\.treatment) != first.choices.map(\.treatment) {
                throw .mixedChoices(first.linear.name, other.linear.name)
            }
        }
        if recipe.budget != nil, units.isEmpty { throw .nothingToChoose }
    }
}

extension StagePlan {
    /// The treatments of a linear of the stage among which a budget is to choose; 0 without any.
    public var choiceCount: Int { linears.map(\.choices.count).max() ?? 0 }

    /// The stage in which all linears with choices have one of them.
    public func choosing(_ choice: Int) -> StagePlan { StagePlan(stage: stage, linears: linears.choosing(choice), tiles: tiles) }

    /// The treatments of the stage's linears, those that a budget may choose among them.
    public var treatments: [Treatment] { linears.flatMap { $0.choices.isEmpty ? [$0.treatment].compactMap { $0 } : $0.choices.map(\.treatment) } }
}

extension LinearChoice {
    /// What it takes of a budget.
    fileprivate func size(of linear: Linear) -> Int {
        if let pruning = treatment.pruning { return linear.rows * linear.columns - pruning.prunedCount(rows: linear.rows, columns: linear.columns) }
        guard case .codes(let options) = content else { preconditionFailure("a choice without bits and without a share") }
        return linear.rows * options.storedBits(columns: linear.columns)
    }
}

extension QuantizationOptions {
    /// Bits that a row takes: codes, scales, and the zero points of asymmetric grids.
    fileprivate func storedBits(columns: Int) -> Int {
        let group = (scaleType == .f32 ? 32 : 16) + (symmetric ? 0 : bits)
        return columns * bits + groupCount(columns: columns) * group
    }
}
