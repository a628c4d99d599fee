// What a type of blocks says of the settings of a method, and what contradicts it.

package import Compression

extension TreatmentSettings {
    /// The whole treatment, of a type whose blocks are its own. What is left out: a search of the scales, in which each column counts as much as the
    /// method knows of it.
    func resolved(_ type: NumberType, _ blocks: BlockRules) -> Result<Treatment, Contradiction> {
        if let contradiction = contradiction(type, blocks) { return .failure(Contradiction(contradiction)) }
        var settings = self
        (settings.type, settings.choices) = (nil, nil)
        (settings.bits, settings.group, settings.symmetric, settings.scales) = (blocks.bits, blocks.columns, true, .positive)
        settings.grid = grid ?? (method == .rtn ? .mse : .hessian)
        return settings.resolvedIntegers().map {
            var treatment = $0
            treatment.type = type
            return treatment
        }
    }

    private func contradiction(_ type: NumberType, _ blocks: BlockRules) -> String? {
        let name = "`type: \(type.rawValue)`"
        guard [nil, .gptq, .rtn].contains(method) else {
            return "\(name) goes with `method: gptq` or rtn, not with `method: \(method?.rawValue ?? "")`"
        }
        if let strategy { return "`strategy: \(strategy.rawValue)` contradicts \(name), whose blocks say which weights share a scale: leave it out" }
        if let activations, activations != .none {
            return "`activations: \(activations.rawValue)` contradicts \(name), whose clients quantize no inputs: leave it out"
        }
        if let activationType {
            return "`activation_type: \(activationType.rawValue)` contradicts \(name), whose inputs are llama.cpp's own choice: leave it out"
        }
        if let bits { return "`bits: \(bits)` contradicts \(name), whose codes have \(blocks.bits) bits: leave it out" }
        if let group { return "`group: \(group)` contradicts \(name), which has groups of \(blocks.groupColumns) in blocks of \(blocks.columns): leave it out" }
        if symmetric != nil { return "`symmetric` says nothing of \(name), whose offsets are its own: leave it out" }
        if scales != nil { return "`scales` says nothing of \(name), whose scales have signs of their own: leave it out" }
        if grid == .solved { return "`grid: solved` is not there for \(name), whose groups' scales depend on each other: use hessian, mse or minmax" }
        if actOrder == .columns, staticGroups == false {
            return "`act_order: true` without `static_groups` takes columns of blocks apart: use `act_order: groups`, or `static_groups: true`"
        }
        return nil
    }
}

extension Treatment {
    /// The treatment of a linear with so many columns: of a type whose blocks do not divide them, the same with the type that takes its place.
    ///
    /// - Throws: a sentence, where no type does.
    package func fitting(columns: Int) throws(UnfitColumns) -> Treatment {
        guard let type, type.blocks != nil else { return self }
        guard let fitting = type.fitting(columns: columns), let blocks = fitting.blocks else { throw UnfitColumns(type: type, columns: columns) }
        var treatment = self
        (treatment.type, treatment.bits, treatment.group) = (fitting, blocks.bits, blocks.columns)
        return treatment
    }
}

/// Columns that are no whole blocks of any type.
package struct UnfitColumns: Error {
    package let type: NumberType
    package let columns: Int
}
