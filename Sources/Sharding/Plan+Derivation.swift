// From recipe and architecture to the plan.

public import Compression
internal import LinearAlgebra
public import Recipes
public import Transformers

extension Plan {
    /// Tokens that a batch should at least have: adding its X^T X to the sum then costs little beside computing it.
    static let batchTokens = 2048

    /// Derives the plan.
    ///
    /// - Parameter scaleType: the type of a linear's weight, by its tensor's name: that of its scales, unless the format has its own, and of its
    ///   values where they are not quantized.
    /// - Throws: `PlanError` when a rule or an ignore pattern matches no linear or takes too long to match, for a sparsity pattern that does not
    ///   divide the columns, and for sizes beyond `PlanLimits`.
    public init(recipe: Recipe, architecture: Architecture, scaleType: (String) throws -> ScaleType) throws {
        try PlanLimits.check(architecture)
        try PlanLimits.check(recipe, architecture)
        var usedRules = Set<Int>()
        var usedPatterns = Set<Int>()
        // Head and routers are linears that a recipe may name, though they are never compressed.
        let fixed = architecture.plainModules
        for index in recipe.ignore.indices {
            if try fixed.contains(where: { try Self.ignores(recipe, index, $0) }) { usedPatterns.insert(index) }
        }
        var blocks: [BlockPlan] = []
        // Experts are cut and treated alike, and share the memory of that.
        var tilings: Set<[Tile]> = []
        var treated: [[RuleOutcome]] = []
        // The last outcome of each rule, and of none.
        var outcomes: [Int?: RuleOutcome] = [:]
        for index in 0..<architecture.blockCount {
            let block = architecture.block(index)
            var stages: [StagePlan] = []
            // Not twice as many, as an array that grows has room for: experts are thousands.
            stages.reserveCapacity(block.stages.count)
            for (place, stage) in block.stages.enumerated() {
                var own: [RuleOutcome] = []
                own.reserveCapacity(stage.linears.count)
                for linear in stage.linears {
                    let ignoring = try recipe.ignore.indices.filter { index throws in try linear.names.contains { try Self.ignores(recipe, index, $0) } }
                    usedPatterns.formUnion(ignoring)
                    let rule = try recipe.rules.indices.first { index throws in try linear.names.contains { try Self.takes(recipe, index, $0) } }
                    if let rule { usedRules.insert(rule) }
                    let asked = ignoring.isEmpty ? rule.map { recipe.rules[$0].treatment } : nil
                    let treatment: Treatment?
                    do throws(UnfitColumns) {
                        treatment = try asked?.fitting(columns: linear.columns)
                    } catch {
                        throw PlanError.unfitColumns(error.type.rawValue, columns: error.columns, linear: linear.name)
                    }
                    if let treatment, treatment.method == .spqr, linear.columns % treatment.group != 0 {
                        throw PlanError.unfitGroups(treatment.group, columns: linear.columns, linear: linear.name)
                    }
                    if case .pattern(_, let of)? = treatment?.sparsity, let sparsity = treatment?.sparsity, linear.columns % of != 0 {
                        throw PlanError.pattern("\(sparsity)", columns: linear.columns, linear: linear.name)
                    }
                    if let width = treatment?.sparsityBlock, linear.columns % width != 0 {
                        throw PlanError.sparsityBlock(width, columns: linear.columns, linear: linear.name)
                    }
                    func choice(_ treatment: Treatment) throws -> LinearChoice {
                        let type = try scaleType(linear.weight)
                        return LinearChoice(
                            treatment: treatment,
                            content: treatment.content(type: type, scaleType: recipe.format.scaleType, leastZero: recipe.format.leastZero))
                    }
                    let choices = treatment == nil ? [] : rule.map { recipe.rules[$0].choices } ?? []
                    let outcome = RuleOutcome(
                        chosen: try treatment.map(choice), choices: try choices.map(choice),
                        replacedType: asked?.type == treatment?.type ? nil : asked?.type, isForgotten: rule == nil && ignoring.isEmpty)
                    if outcomes[rule] != outcome { outcomes[rule] = outcome }
                    own.append(outcomes[rule] ?? outcome)
                }
                if let earlier = treated.first(where: { $0 == own }) { own = earlier } else { treated.append(own) }
                let linears = LinearPlans(stage.linears, own)
                let tiles = StagePlan.tiles(of: linears, isExpert: block.expert(ofStage: place) != nil)
                stages.append(StagePlan(stage: stage, linears: linears, tiles: tilings.insert(tiles).memberAfterInsert))
            }
            if recipe.format.hasOneSchemeOfExperts, let mixture = block.mixture { try Self.checkSchemes(mixture, stages, recipe.format) }
            blocks.append(BlockPlan(block: block, stages: stages))
        }
        if let unused = recipe.rules.indices.first(where: { !usedRules.contains($0) }) {
            throw PlanError.unusedRule(pattern: recipe.rules[unused].match.text, line: recipe.rules[unused].line, example: Self.example(blocks))
        }
        if let unused = recipe.ignore.indices.first(where: { !usedPatterns.contains($0) }) {
            throw PlanError.unusedIgnore(pattern: recipe.ignore[unused].text, example: Self.example(blocks))
        }
        self.recipe = recipe
        self.architecture = architecture
        self.blocks = blocks
        needsDenseInputs = blocks.contains { $0.stages.contains(where: \.needsDenseInput) }
        channelMeasurement = ChannelMeasurement(architecture, recipe.equivalence)
        batches = Self.batches(recipe.calibration)
        guard tileCount > 0 else { throw PlanError.nothingToDo }
        try checkUnits()
        try checkTargets()
        try checkFusedNumbers()
        try checkCache()
    }

    private func checkTargets() throws {
        let stages = blocks.lazy.flatMap(\.stages)
        guard stages.contains(where: { $0.linears.contains { $0.treatment?.target == .dense } }) else { return }
        guard recipe.propagation == .stage else {
            throw PlanError.denseTarget("needs `propagation: stage`: only then do linears see the inputs for whose errors they make up")
        }
        let asked = stages.flatMap { $0.linears.lazy.filter { $0.treatment?.streamStrength != nil } }
        if let first = asked.first, !stages.contains(where: { $0.mismatches.contains(.stream) }) { throw PlanError.unusedStream(first.linear.name) }
    }

    /// Holds the parts of what clients make one linear of to one scheme where that has a type: their arithmetic depends on it.
    private func checkFusedNumbers() throws {
        guard recipe.format.isServedByVLLM else { return }
        for stage in blocks.lazy.flatMap(\.stages) {
            for parts in stage.mixedParts where parts.contains(where: { $0.treatment?.type != nil || $0.treatment?.activationType != nil }) {
                guard let other = parts.first(where: { $0.scheme != parts[0].scheme }) else { continue }
                throw PlanError.mixedParts("\(parts[0].linear.name) (\(parts[0].scheme))", "\(other.linear.name) (\(other.scheme))")
            }
        }
    }

    /// Holds the experts of a block to one scheme: clients fuse them, and look at the first alone. GGUF has a tensor for the gates of all, one for their ups
    /// and one for their downs.
    private static func checkSchemes(_ mixture: Mixture, _ stages: [StagePlan], _ format: OutputFormat) throws {
        let linears = stages[mixture.firstStage...].flatMap(\.linears)
        if format == .gguf {
            let count = linears.count / mixture.experts
            for (place, linear) in linears.enumerated() where linear.scheme != linears[place % count].scheme {
                throw PlanError.mixedStack(linears[place % count].linear.name, linear.linear.name)
            }
            return
        }
        guard let first = linears.first, let other = linears.first(where: { $0.scheme != first.scheme }) else { return }
        throw PlanError.mixedExperts(first.linear.name, other.linear.name)
    }

    /// Whether an ignore pattern matches the name of a linear.
    private static func ignores(_ recipe: Recipe, _ index: Int, _ name: String) throws -> Bool {
        do {
            return try recipe.ignore[index].matches(name)
        } catch {
            throw PlanError.unmatchable(key: "ignore.\(index)", line: nil, error)
        }
    }

    /// Whether a rule's pattern matches the name of a linear.
    private static func takes(_ recipe: Recipe, _ index: Int, _ name: String) throws -> Bool {
        do {
            return try recipe.rules[index].match.matches(name)
        } catch {
            throw PlanError.unmatchable(key: "rules.\(index).match", line: recipe.rules[index].line, error)
        }
    }

    /// Batches of whole sequences, a function of the recipe alone.
    static func batches(_ calibration: Calibration?) -> [Range<Int>] {
        guard let calibration else { return [] }
        let size = calibration.batch ?? max(1, (batchTokens + calibration.length - 1) / calibration.length)
        return (0..<calibration.sequences).cut(every: size)
    }

    private static func example(_ blocks: [BlockPlan]) -> String {
        blocks.first?.stages.first?.linears.first?.linear.name ?? "none"
    }
}
