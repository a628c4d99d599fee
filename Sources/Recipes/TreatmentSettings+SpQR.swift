// What SpQR says of the settings of a method, and what contradicts it.

internal import Compression

extension TreatmentSettings {
    /// As published (arXiv 2306.03078, `main.py`).
    private static let defaultThreshold = 0.2

    /// The whole treatment. What is left out: 3 bits in groups of 16 columns, which is what the format on disk has.
    func resolvedSpQR() -> Result<Treatment, Contradiction> {
        if let contradiction = contradictionOfSpQR() { return .failure(Contradiction(contradiction)) }
        let damping = damping ?? 1, maxDamping = maxDamping ?? max(1, damping)
        if damping > maxDamping { return .failure(Contradiction("`damping` \(damping) is above `max_damping` \(maxDamping)")) }
        var treatment = Treatment(
            method: .spqr, bits: bits ?? 3, group: group ?? 16, symmetric: false, actOrder: actOrder ?? .groups, staticGroups: false, grid: .minmax,
            damping: damping, maxDamping: maxDamping)
        treatment.type = .spqr
        treatment.outlierThreshold = outlierThreshold ?? Self.defaultThreshold
        return .success(treatment)
    }

    private func contradictionOfSpQR() -> String? {
        let name = "`method: spqr`"
        guard method == .spqr else { return "`type: spqr` goes with \(name), not with `method: \((method ?? .gptq).rawValue)`" }
        if let type, type != .spqr { return "`type: \(type.rawValue)` contradicts \(name), which has codes of its own: leave it out" }
        if let strategy { return "`strategy: \(strategy.rawValue)` contradicts \(name), which has groups: leave it out" }
        if let activations, activations != .none {
            return "`activations: \(activations.rawValue)` contradicts \(name), whose inputs no client quantizes: leave it out"
        }
        if let activationType { return "`activation_type: \(activationType.rawValue)` contradicts \(name), whose inputs no client quantizes: leave it out" }
        if group == -1 { return "`group: -1` contradicts \(name), which has groups of 16 columns or more" }
        if symmetric == true { return "`symmetric: true` contradicts \(name), whose grids have zero points: leave it out" }
        if scales != nil { return "`scales` says nothing of \(name), whose grids have zero points: leave it out" }
        if staticGroups == true {
            return "`static_groups: true` contradicts \(name), which finds a group's grid in the weights as they are by then: leave it out"
        }
        if let grid, grid != .minmax {
            return "`grid: \(grid.rawValue)` contradicts \(name), which finds its grids without outliers, from the least weight to the largest: leave it out"
        }
        if sparsity != nil { return "`sparsity` goes with `method: sparsegpt`, admm, exactobs, magnitude or wanda, not with \(name)" }
        if maskBlock != nil { return "`mask_block` goes with `method: sparsegpt`, not with \(name)" }
        if target == .dense { return "`target: dense` goes with `method: gptq`, not with \(name)" }
        return contradictionOfStrengths
    }
}
