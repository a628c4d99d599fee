// The settings of a method as a recipe gives them, and what follows for those that it leaves out.

internal import Compression

/// Settings that a recipe may leave out; a rule takes what it leaves out from `compress`.
struct TreatmentSettings {
    var method: Method?
    var type: NumberType?
    var strategy: ScaleStrategy?
    var activations: ActivationQuantization?
    var activationType: NumberType?
    var bits: Int?
    /// In place of one width or one share of zeros, those among which a budget chooses.
    var choices: BudgetChoices?
    var group: Int?
    var symmetric: Bool?
    var scales: ScaleSigns?
    var actOrder: ActOrder?
    var staticGroups: Bool?
    var grid: Grid?
    var damping: Double?
    var maxDamping: Double?
    var target: Target?
    var targetStrength: Double?
    var streamStrength: Double?
    var sparsity: Sparsity?
    var maskBlock: Int?
    var sparsityBlock: Int?
    var outlierThreshold: Double?

    /// Columns of a group.
    static let defaultGroup = 128

    /// The whole treatment; where a budget chooses, those among which it does, those that take the least room first.
    func treatments() -> Result<[Treatment], Contradiction> {
        switch choices {
        case nil: resolved().map { [$0] }
        case .widths(let widths, let groups)?: treatments(widths, groups: groups ?? [group ?? Self.defaultGroup])
        case .shares(let shares)?: treatments(shares)
        }
    }

    private func treatments(_ widths: [Int], groups: [Int]) -> Result<[Treatment], Contradiction> {
        if let type, type != .int { return .failure(Contradiction("a budget of `bits` is for integers, and `type: \(type.rawValue)` has bits of its own")) }
        guard [nil, .gptq].contains(method), sparsity == nil else {
            return .failure(Contradiction("a budget of `bits` goes with `method: gptq` alone; a rule with another method needs `bits` of its own"))
        }
        var treatments: [Treatment] = []
        for bits in widths {
            for group in groups {
                var settings = self
                (settings.bits, settings.group, settings.choices) = (bits, group, nil)
                switch settings.resolved() {
                case .success(let treatment): treatments.append(treatment)
                case .failure(let contradiction): return .failure(contradiction)
                }
            }
        }
        // A row's single scale weighs next to nothing.
        func room(_ treatment: Treatment) -> Double { Double(treatment.bits ?? 16) + (treatment.group > 0 ? 16 / Double(treatment.group) : 0) }
        return .success(treatments.sorted { (room($0), $0.bits ?? 0) < (room($1), $1.bits ?? 0) })
    }

    private func treatments(_ shares: [Double]) -> Result<[Treatment], Contradiction> {
        let method = method ?? .gptq
        guard method.prunes, method.needsHessian else {
            return .failure(
                Contradiction(
                    "a budget of `sparsity` goes with `method: sparsegpt`, admm, exactobs or wanda, whose Hessians say what is lost, not with "
                        + "`\(method.rawValue)`"))
        }
        var treatments: [Treatment] = []
        for share in shares {
            var settings = self
            (settings.sparsity, settings.choices) = (.share(share), nil)
            switch settings.resolved() {
            case .success(let treatment): treatments.append(treatment)
            case .failure(let contradiction): return .failure(contradiction)
            }
        }
        return .success(treatments)
    }

    /// The whole treatment. What is left out becomes the best that goes with the rest: see `docs/recipes.md` for the measurements.
    func resolved() -> Result<Treatment, Contradiction> {
        if outlierThreshold != nil, method != .spqr {
            return .failure(Contradiction("`outlier_threshold` goes with `method: spqr`, not with `method: \((method ?? .gptq).rawValue)`"))
        }
        if method == .spqr || type == .spqr { return resolvedSpQR() }
        if let rules = type?.rules { return resolved(rules) }
        if let type, let blocks = type.blocks { return resolved(type, blocks) }
        if type == .ternary { return resolvedTernary() }
        if let strategy { return .failure(Contradiction("`strategy: \(strategy.rawValue)` goes with a `type` such as fp8; `group` says it for integers")) }
        return inputs(of: .int, .group).flatMap { inputs in resolvedIntegers().flatMap { $0.taking(inputs) } }
    }

    /// The same, of integers or of a type whose bits and group are filled in.
    func resolvedIntegers() -> Result<Treatment, Contradiction> {
        let method = method ?? .gptq
        if let contradiction = contradictionOfSparsity(method) { return .failure(Contradiction(contradiction)) }
        // Methods that prune quantize only when `bits` says so.
        let bits = bits ?? (method.prunes ? nil : 4)
        let group = bits == nil ? -1 : group ?? Self.defaultGroup
        if let contradiction = contradictionOfOrder(method, group: group) { return .failure(Contradiction(contradiction)) }
        let weighsErrors = [.gptq, .obq].contains(method) || method == .sparsegpt && bits != nil
        let staticGroups = staticGroups ?? ((actOrder == .columns || method == .obq) && group > 0)
        let hasDynamicGroups = group > 0 && !staticGroups
        let actOrder = method == .gptq ? actOrder ?? (hasDynamicGroups ? .groups : .columns) : .off
        let grid = grid ?? (weighsErrors ? (hasDynamicGroups ? .solved : .hessian) : .minmax)
        let symmetric = symmetric ?? true
        if !symmetric, scales == .signed {
            return .failure(Contradiction("`scales: signed` is of symmetric grids; a zero point does as much for those of `symmetric: false`"))
        }
        let damping = damping ?? (method == .admm ? 0.1 : 0.01)
        let maxDamping = maxDamping ?? max(1, damping)
        if let contradiction = contradictionOfGroups(method, group: hasDynamicGroups && bits != nil ? group : nil) {
            return .failure(Contradiction(contradiction))
        }
        if actOrder == .groups, !hasDynamicGroups {
            return .failure(Contradiction("`act_order: groups` is for groups of 16 columns or more that are not static; use `act_order: true`"))
        }
        if !weighsErrors, grid == .hessian || grid == .solved {
            return .failure(
                Contradiction("`grid: \(grid.rawValue)` needs a Hessian, which `method: \(method.rawValue)` does not round with; use minmax or mse"))
        }
        if grid == .solved, !hasDynamicGroups {
            return .failure(Contradiction("`grid: solved` is for groups of 16 columns or more that are not static; use `grid: hessian`"))
        }
        if let contradiction = contradictionOfTarget(method) { return .failure(Contradiction(contradiction)) }
        if damping > maxDamping { return .failure(Contradiction("`damping` \(damping) is above `max_damping` \(maxDamping)")) }
        var treatment = Treatment(
            method: method, bits: bits, group: group, symmetric: symmetric, scales: symmetric ? scales ?? .signed : .positive, actOrder: actOrder,
            staticGroups: weighsErrors && staticGroups, grid: grid, damping: damping, maxDamping: maxDamping,
            target: target ?? .layer, targetStrength: targetStrength ?? 1, streamStrength: streamStrength == 0 ? nil : streamStrength, sparsity: sparsity,
            maskBlock: blockOfMask(method))
        treatment.sparsityBlock = sparsityBlock
        return .success(treatment)
    }

    /// The published block size is 128 (`sparsegpt.py`).
    private func blockOfMask(_ method: Method) -> Int? {
        guard method == .sparsegpt, case .share? = sparsity else { return nil }
        return maskBlock ?? 128
    }

    /// What does not go with the method's way of pruning; nil when all does.
    private func contradictionOfSparsity(_ method: Method) -> String? {
        let name = "`method: \(method.rawValue)`"
        if let sparsityBlock {
            guard method == .exactobs else { return "`sparsity_block` goes with `method: exactobs`, not with \(name)" }
            if case .pattern(let pruned, let of)? = sparsity {
                return "`sparsity_block: \(sparsityBlock)` goes with a share, not with the pattern \(pruned):\(of)"
            }
        }
        guard method.prunes else {
            if sparsity != nil { return "`sparsity` goes with `method: sparsegpt`, admm, exactobs, magnitude or wanda, not with \(name)" }
            return maskBlock == nil ? nil : "`mask_block` goes with `method: sparsegpt`, not with \(name)"
        }
        guard let sparsity else { return "\(name) needs `sparsity`: a share such as 0.5, or a pattern such as 2:4" }
        if !method.quantizes, bits != nil {
            return "\(name) prunes and does not quantize: leave out `bits`, or use `method: sparsegpt`, which does both in one pass"
        }
        if let actOrder, actOrder != .off { return "\(name) takes columns as they stand: leave out `act_order`, or make it false" }
        if maskBlock != nil {
            if method != .sparsegpt { return "`mask_block` goes with `method: sparsegpt`, not with \(name)" }
            if case .pattern = sparsity { return "`mask_block` goes with a share, not with the pattern \(sparsity)" }
        }
        guard bits == nil else { return nil }
        let ofGrids = [
            ("group", group != nil), ("symmetric", symmetric != nil), ("scales", scales != nil), ("static_groups", staticGroups != nil),
            ("grid", grid != nil),
        ]
        let remedy = !method.quantizes ? "leave it out" : "give `bits` too, or leave it out"
        return ofGrids.first { $0.1 }.map { "`\($0.0)` is of quantization, but \(name) without `bits` does not quantize: \(remedy)" }
    }

    /// What does not go with an order of columns that each row finds by itself; nil when all does.
    private func contradictionOfOrder(_ method: Method, group: Int) -> String? {
        guard method == .obq else { return nil }
        if let actOrder, actOrder != .off {
            return "`method: obq` takes the columns of each row in an order of its own: leave out `act_order`, or make it false"
        }
        guard staticGroups == false, group > 0 else { return nil }
        return "`method: obq` finds all grids before it rounds the first column: leave out `static_groups`, or make it true"
    }

    private func contradictionOfTarget(_ method: Method) -> String? {
        if target == .dense, method != .gptq { return "`target: dense` goes with `method: gptq`, not with `method: \(method.rawValue)`" }
        return contradictionOfStrengths
    }

    /// What is wrong with strengths, which are of `target: dense` alone; nil when nothing is.
    var contradictionOfStrengths: String? {
        guard target != .dense else { return nil }
        let strengths = [("target_strength", targetStrength), ("stream_strength", streamStrength)]
        return strengths.first { $0.1 != nil }.map { "`\($0.0)` goes with `target: dense`" }
    }

    /// - Parameter group: the width of groups whose grids are found as the column loop reaches them.
    private func contradictionOfGroups(_ method: Method, group: Int?) -> String? {
        guard method == .sparsegpt, let group else { return nil }
        if case .pattern(_, let of)? = sparsity, group % of != 0 {
            return "a group of \(group) columns does not hold whole patterns of \(of): use another `group`, or `static_groups: true`"
        }
        if let block = blockOfMask(method), block % group != 0 {
            return "`mask_block: \(block)` does not cover whole groups of \(group): use a smaller `group`, or `static_groups: true`"
        }
        return nil
    }
}

/// Settings that do not go together.
struct Contradiction: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
