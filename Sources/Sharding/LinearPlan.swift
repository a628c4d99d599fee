// What a plan does to each linear of a stage.

public import Compression
public import Recipes
public import Transformers

/// The linears of a stage and what is done to each, put together where they are looked at: the experts of a mixture share their outcomes.
public struct LinearPlans: RandomAccessCollection, Sendable {
    private let linears: [Linear]
    private let outcomes: [RuleOutcome]

    /// - Parameter outcomes: of each linear.
    init(_ linears: [Linear], _ outcomes: [RuleOutcome]) { (self.linears, self.outcomes) = (linears, outcomes) }

    public var startIndex: Int { 0 }
    public var endIndex: Int { linears.count }
    public subscript(index: Int) -> LinearPlan { LinearPlan(linears[index], outcomes[index]) }

    /// The same, with one of their choices made for all that have any.
    func choosing(_ choice: Int) -> LinearPlans {
        LinearPlans(linears, outcomes.map { $0.choices.isEmpty ? $0 : RuleOutcome(chosen: $0.choices[choice]) })
    }
}

/// A linear and what is done to it.
public struct LinearPlan: Sendable {
    public let linear: Linear
    private let outcome: RuleOutcome

    init(_ linear: Linear, _ outcome: RuleOutcome) { (self.linear, self.outcome) = (linear, outcome) }

    /// nil: the linear keeps its weights.
    public var treatment: Treatment? { outcome.chosen?.treatment }
    /// What its tiles hold after solving; nil when the linear keeps its weights.
    public var content: TileContent? { outcome.chosen?.content }
    /// Treatments among which a budget is still to choose, those that take the least room first; `treatment` is the probed one meanwhile.
    public var choices: [LinearChoice] { outcome.choices }
    /// The type that the recipe asks for, where another takes its place since its blocks do not divide the columns.
    public var replacedType: NumberType? { outcome.replacedType }
    /// Whether neither a rule nor a pattern of `ignore` takes it.
    public var isForgotten: Bool { outcome.isForgotten }

    /// How it is quantized; nil when it is not.
    public var options: QuantizationOptions? {
        if case .codes(let options)? = content { options } else { nil }
    }

    /// Which weights are compared when some become zero; nil when none do.
    public var pruning: PruningOptions? { treatment?.pruning }
}

/// What a recipe's rules make of linears that are alike: one object for all of them, since mixtures have tens of thousands.
final class RuleOutcome: Sendable, Equatable {
    let chosen: LinearChoice?
    let choices: [LinearChoice]
    let replacedType: NumberType?
    let isForgotten: Bool

    init(chosen: LinearChoice?, choices: [LinearChoice] = [], replacedType: NumberType? = nil, isForgotten: Bool = false) {
        (self.chosen, self.choices, self.replacedType, self.isForgotten) = (chosen, choices, replacedType, isForgotten)
    }

    static func == (one: RuleOutcome, other: RuleOutcome) -> Bool {
        one === other
            || one.chosen == other.chosen && one.choices == other.choices && one.replacedType == other.replacedType && one.isForgotten == other.isForgotten
    }
}

/// A treatment that a linear may get.
public struct LinearChoice: Sendable, Equatable {
    public let treatment: Treatment
    public let content: TileContent
}
