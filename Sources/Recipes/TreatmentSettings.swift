// The settings of a method as a recipe gives them, and what follows for those that it leaves out.

internal import Compression

/// Settings that a recipe may leave out; a rule takes what it leaves out from `compress`.
struct TreatmentSettings {
    var method: Method?
    var bits: Int?
    var group: Int?
    var symmetric: Bool?
    var actOrder: ActOrder?
    var staticGroups: Bool?
    var grid: Grid?
    var damping: Double?
    var maxDamping: Double?

    /// The whole treatment. What is left out becomes the best that goes with the rest: see `docs/recipes.md` for the measurements.
    func resolved() -> Result<Treatment, Contradiction> {
        let method = method ?? .gptq
        let group = group ?? 128
        let isGPTQ = method == .gptq
        let staticGroups = staticGroups ?? (actOrder == .columns && group > 0)
        let hasDynamicGroups = group > 0 && !staticGroups
        let actOrder = isGPTQ ? actOrder ?? (hasDynamicGroups ? .groups : .columns) : .off
        let grid = grid ?? (isGPTQ ? (hasDynamicGroups ? .solved : .hessian) : .minmax)
        let damping = damping ?? 0.01
        let maxDamping = maxDamping ?? max(1, damping)
        if actOrder == .groups, !hasDynamicGroups {
            return .failure(Contradiction("`act_order: groups` is for groups of 16 columns or more that are not static; use `act_order: true`"))
        }
        if !isGPTQ, grid == .hessian || grid == .solved {
            return .failure(Contradiction("`grid: \(grid.rawValue)` needs a Hessian, which `method: rtn` does not use; use minmax or mse"))
        }
        if grid == .solved, !hasDynamicGroups {
            return .failure(Contradiction("`grid: solved` is for groups of 16 columns or more that are not static; use `grid: hessian`"))
        }
        if damping > maxDamping { return .failure(Contradiction("`damping` \(damping) is above `max_damping` \(maxDamping)")) }
        return .success(
            Treatment(
                method: method, bits: bits ?? 4, group: group, symmetric: symmetric ?? true, actOrder: actOrder,
                staticGroups: isGPTQ && staticGroups, grid: grid, damping: damping, maxDamping: maxDamping))
    }
}

/// Settings that do not go together.
struct Contradiction: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
