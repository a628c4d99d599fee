// What ternary numbers say of the settings of a method, and what contradicts it.

internal import Compression

extension TreatmentSettings {
    /// Takes the width that a mapping gives, after its type. One in place of another kind of numbers leaves nothing of what was said of these.
    mutating func take(_ width: CodeWidth, _ mapping: YAMLMapping) throws(RecipeError) {
        switch width {
        case .ternary where mapping.has("type"):
            guard type == .ternary else {
                throw mapping.error("bits", "`bits: ternary` contradicts `type: \(type?.rawValue ?? "")`: leave one of them out")
            }
        case .ternary:
            if type != .ternary { dropNumbers() }
            type = .ternary
        case .bits(let own):
            if type == .ternary, !mapping.has("type") {
                dropNumbers()
                type = nil
            }
            bits = own
            if choices?.areWidths == true { choices = nil }
        }
    }

    /// The whole treatment of ternary rows. What is left out: the least and the largest weight of each row, as published.
    func resolvedTernary() -> Result<Treatment, Contradiction> {
        if let contradiction = contradictionOfTernary() { return .failure(Contradiction(contradiction)) }
        var settings = self
        (settings.type, settings.choices) = (nil, nil)
        (settings.bits, settings.group, settings.symmetric, settings.scales) = (2, -1, true, .positive)
        settings.grid = grid ?? .minmax
        return settings.resolvedIntegers().map {
            var treatment = $0
            treatment.type = .ternary
            return treatment
        }
    }

    private func contradictionOfTernary() -> String? {
        let name = "`bits: ternary`"
        guard [nil, .gptq, .rtn].contains(method) else {
            return "\(name) goes with `method: gptq` or rtn, not with `method: \(method?.rawValue ?? "")`"
        }
        if let strategy { return "`strategy: \(strategy.rawValue)` contradicts \(name), which has two numbers for each row: leave it out" }
        if let activations, activations != .none {
            return "`activations: \(activations.rawValue)` contradicts \(name), whose inputs no client quantizes: leave it out"
        }
        if let activationType { return "`activation_type: \(activationType.rawValue)` contradicts \(name), whose inputs no client quantizes: leave it out" }
        if let bits { return "`bits: \(bits)` contradicts `type: ternary`: leave one out" }
        if let group, group != -1 { return "`group: \(group)` contradicts \(name), which has two numbers for each row: leave it out" }
        if symmetric != nil { return "`symmetric` says nothing of \(name), whose numbers below and above zero are its own: leave it out" }
        if scales != nil { return "`scales` says nothing of \(name), whose numbers below and above zero are its own: leave it out" }
        if grid == .solved { return "`grid: solved` is for groups of 16 columns or more, and \(name) has whole rows: use minmax, mse or hessian" }
        return nil
    }
}
