// What a type of numbers says of the settings of a method, and what contradicts it.

internal import Compression

extension TreatmentSettings {
    /// The whole treatment, of a type whose bits and groups are its own.
    func resolved(_ rules: any NumberRules) -> Result<Treatment, Contradiction> {
        guard let type else { preconditionFailure("rules without a type") }
        let strategy = strategy ?? rules.strategies[0]
        if let contradiction = contradiction(type, rules, strategy) { return .failure(Contradiction(contradiction)) }
        var settings = self
        (settings.type, settings.strategy, settings.choices) = (nil, nil, nil)
        (settings.bits, settings.group, settings.symmetric, settings.scales) = (rules.bits, rules.group(strategy), true, .positive)
        // The range of a whole tensor is known before its first tile.
        if strategy == .tensor { settings.grid = .minmax }
        return inputs(of: type, strategy).flatMap { inputs in
            settings.resolvedIntegers().map {
                var treatment = $0
                (treatment.type, treatment.strategy, treatment.activations, treatment.activationType) = (type, strategy, inputs.activations, inputs.type)
                return treatment
            }
        }
    }

    private func contradiction(_ type: NumberType, _ rules: any NumberRules, _ strategy: ScaleStrategy) -> String? {
        let name = "`type: \(type.rawValue)`", group = rules.group(strategy)
        guard [nil, .gptq, .rtn].contains(method) else {
            return "\(name) goes with `method: gptq` or rtn, not with `method: \(method?.rawValue ?? "")`"
        }
        guard rules.strategies.contains(strategy) else {
            let known = rules.strategies.map(\.rawValue).joined(separator: ", ")
            return "\(name) has no `strategy: \(strategy.rawValue)`; what it has is \(known)"
        }
        if let bits, bits != rules.bits { return "`bits: \(bits)` contradicts \(name), whose numbers have \(rules.bits) bits: leave it out" }
        if let own = self.group, own != group {
            let room = group == -1 ? "one scale for \(strategy == .tensor ? "the tensor" : "each row")" : "groups of \(group)"
            return "`group: \(own)` contradicts \(name), which has \(room): leave it out"
        }
        if symmetric == false { return "`symmetric: false` contradicts \(name), which has no zero points: leave it out" }
        if scales == .signed { return "`scales: signed` contradicts \(name), whose numbers reach as far on both sides: leave it out" }
        if strategy == .tensor, let grid, grid != .minmax {
            return "`grid: \(grid.rawValue)` is a search by rows or groups, and `strategy: tensor` has one scale for all: leave it out, or use minmax"
        }
        return nil
    }

    /// Without what another type of numbers was given.
    mutating func dropNumbers() {
        (bits, choices, group, symmetric, scales, strategy, activations, activationType) = (nil, nil, nil, nil, nil, nil, nil, nil)
        (grid, actOrder, staticGroups) = (nil, nil, nil)
    }
}
