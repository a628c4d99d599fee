// What a run keeps in memory so as to fit a limit, and the bound of each phase that follows.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// What a rank keeps in memory. None of it changes a result.
public struct MemoryPlan: Sendable {
    /// Whether the activations of all of a rank's batches are in memory; else they are in a scratch file.
    public var keepsActivations: Bool
    /// Ranks of a node that run a stage's forward pass together, each with a part of its weights; 1: every rank by itself.
    public var tensorParallel: Int
    /// By block and stage.
    public var stages: [[StageResidency]]
    /// Tokens of an expert that its owner keeps while it works on it; those of others come again for each use.
    public var expertTokens = Int.max
    /// Units whose sensitivities are measured side by side.
    public var probesAtOnce = 1
    /// The bound of each phase.
    public var phases: [Phase]
    /// The most ranks of a host, and the bound of such a host: what its ranks share counts once.
    public var host: (ranks: Int, bytes: Int) = (1, 0)
    /// Of the bound, what is left to matrices: those in use, and freed ones that are kept for their next use.
    public var matrices: Int

    /// A phase and the most that a rank holds in it.
    public struct Phase: Sendable, Equatable, Codable {
        public var name: String
        public var bytes: Int
        /// The stage that needs the most; nil where it makes no difference.
        public var stage: String?
    }

    package init(keepsActivations: Bool, tensorParallel: Int = 1, stages: [[StageResidency]], phases: [Phase], beside: Int = 0) {
        self.keepsActivations = keepsActivations
        self.tensorParallel = tensorParallel
        self.stages = stages
        self.phases = phases
        matrices = max((phases.map(\.bytes).max() ?? 0) - beside, 0)
    }

    public var bound: Int { phases.map(\.bytes).max() ?? 0 }
}

/// A run that cannot keep its limit, and what would.
public struct MemoryShortage: Error, CustomStringConvertible {
    public var limit: Int
    /// The phase that needs the most although everything gives way.
    public var phase: MemoryPlan.Phase
    public var remedies: [String]

    public var description: String {
        "memory_per_rank: \(limit < 1 << 20 ? "\(limit) bytes (as a number without a unit says)" : mebibytes(limit)) do not suffice: \(phase.name)\(phase.stage.map { " of \($0)" } ?? "") needs \(mebibytes(phase.bytes)) of a rank, "
            + "at the least; what would fit: \(remedies.joined(separator: "; "))"
    }
}

/// Bytes in MiB, rounded up.
func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }

extension Plan {
    /// What a process holds before it begins, where it is not measured: Swift's and MPI's libraries, plan and index.
    public static let usualStart = 60 << 20

    /// What libraries take as they are used: buffers of BLAS and oneDNN for each thread, generated code, messages of MPI between the ranks of a node.
    public static func libraryBytes(threads: Int, ranks: Int) -> Int {
        (24 << 20) + threads * (16 << 20) + min(ranks - 1, 16) * (2 << 20)
    }

    static func usualBase(threads: Int, ranks: Int) -> Int { usualStart + libraryBytes(threads: threads, ranks: ranks) }

    /// Picks what is kept in memory: everything when there is no limit; under one, the fastest way that fits.
    ///
    /// - Parameters:
    ///   - base: what the process holds beside; nil: the usual.
    ///   - limit: bytes of a rank; nil: none.
    ///   - keepsActivations: true or false when the user has chosen their place.
    ///   - tensorParallel: ranks that share a stage's forward pass, when the user has chosen their number; else those that there are for each
    ///     batch, or more to keep the limit.
    ///   - nodes: of each rank, where they are known.
    ///   - ranksOfHost: that share memory, at most, where nodes are not known.
    ///   - windows: of the recipe's evaluation; nil: those that it asks for.
    /// - Throws: `MemoryShortage`
    public func memoryPlan(
        ranks: Int, threads: Int, base: Int? = nil, limit: Int?, keepsActivations: Bool? = nil, tensorParallel: Int? = nil, nodes: [Int]? = nil,
        ranksOfHost: Int = usualRanksOfHost, windows: Int? = nil
    ) throws(MemoryShortage) -> MemoryPlan {
        let choices = keepsActivations.map { [$0] } ?? (limit == nil ? [true] : [true, false])
        let threads = max(threads, 1)
        let kinds = blocks.map { block in block.stages.prefix(block.block.denseStages.count).map(StageKind.init) }
        let groups = stageGroups, channelBytes = recipe.equivalence?.equalizes == true ? architecture.channelCount : 0
        /// The first plan that fits, or the one that needs the least where none does.
        func found(ranks: Int, batchSequences: Int? = nil, tensorParallel: Int?, nodes: [Int]? = nil) -> MemoryPlan {
            let possible = TensorParallel.sizes(ranks: ranks, nodes: nodes)
            // As many ranks share a batch as there are ranks for each.
            let fewest = batches.isEmpty ? 1 : possible.last { $0 <= ranks / batches.count } ?? 1
            let sizes = tensorParallel.map { [$0] } ?? (limit == nil ? [fewest] : possible.filter { $0 >= fewest })
            let ofHost = nodes.map { Dictionary(grouping: $0) { $0 }.values.map(\.count).max() ?? 1 } ?? min(ranksOfHost, ranks)
            let changing = recipe.equivalence == nil ? 0 : threads * TensorTransform.workspaceBytes
            let base = (base ?? Self.usualBase(threads: threads, ranks: ranks)) + changing + channelBytes + dictionaryBytes
            var least: MemoryPlan?
            for size in sizes {
                for keeps in choices {
                    let model = MemoryModel(
                        self, groups, ranks: ranks, ranksOfHost: ofHost, tensorParallel: size, threads: threads, base: base, keepsActivations: keeps,
                        batchSequences: batchSequences)
                    let plan = memoryPlan(model, kinds, limit, windows: windows ?? recipe.evaluation?.sequences ?? 0)
                    if plan.bound <= limit ?? .max { return plan }
                    if plan.bound < least?.bound ?? .max { least = plan }
                }
            }
            guard let least else { preconditionFailure("\(ranks) ranks in groups of no size") }
            return least
        }
        let best = found(ranks: ranks, tensorParallel: tensorParallel, nodes: nodes)
        guard let limit, best.bound > limit, let worst = best.phases.max(by: { $0.bytes < $1.bytes }) else { return best }
        func fits(ranks: Int, batchSequences: Int? = nil) -> Bool {
            found(ranks: ranks, batchSequences: batchSequences, tensorParallel: tensorParallel, nodes: ranks == nodes?.count ? nodes : nil).bound <= limit
        }
        var remedies = ["memory_per_rank: \(mebibytes(best.bound))"]
        if let more = (1...10).map({ ranks << $0 }).first(where: { fits(ranks: $0) }) { remedies.append("\(more) ranks") }
        if tensorParallel != nil {
            let other = found(ranks: ranks, tensorParallel: nil, nodes: nodes)
            if other.bound <= limit { remedies.append("--tensor-parallel \(other.tensorParallel)") }
        }
        if let first = batches.first, first.count > 1, fits(ranks: ranks, batchSequences: 1) { remedies.append("`calibration.batch: 1` (another plan)") }
        if worst.name == "evaluate" { remedies.append("`evaluation: null`, and `cleave eval` on a larger machine") }
        let freed =
            keepsActivations != true
            ? nil
            : try? memoryPlan(
                ranks: ranks, threads: threads, base: base, limit: limit, tensorParallel: tensorParallel, nodes: nodes, ranksOfHost: ranksOfHost,
                windows: windows)
        if freed != nil { remedies.append("--activations scratch") }
        throw MemoryShortage(limit: limit, phase: worst, remedies: remedies)
    }

    /// - Parameter kinds: what decides the costs of each stage that every token passes, by block.
    private func memoryPlan(_ model: MemoryModel, _ kinds: [[StageKind]], _ limit: Int?, windows: Int) -> MemoryPlan {
        var residencies: [[StageResidency]] = []
        var phases = ["embed": MemoryPlan.Phase(name: "embed", bytes: model.embed(), stage: nil)]
        var known: [StageKind: StageResidency] = [:]  // by kind: most stages are alike
        var ofHost = 0
        func note(_ name: String, _ bytes: Int, _ stage: StagePlan, shared: Int = 0) {
            ofHost = max(ofHost, model.ranksOfHost * (bytes - shared) + shared)
            if bytes > phases[name]?.bytes ?? 0 { phases[name] = MemoryPlan.Phase(name: name, bytes: bytes, stage: stage.stage.name) }
        }
        for (block, kinds) in zip(blocks, kinds) {
            var choices: [StageResidency] = []
            for (stage, kind) in zip(block.stages, kinds) {
                if let found = known[kind] {
                    choices.append(found)
                    continue
                }
                let choice = model.residency(stage, limit)
                known[kind] = choice
                choices.append(choice)
                let shared = model.shared(stage, choice)
                note("Hessian", model.hessian(stage, choice), stage, shared: shared.hessian)
                note("factor", model.factor(stage, choice), stage, shared: shared.factor)
                note("mismatch", model.mismatch(stage, choice), stage, shared: stage.needsDenseInput ? shared.solve : 0)
                note("solve", model.solve(stage, choice), stage, shared: stage.tiles.isEmpty ? 0 : shared.solve)
                note("forward", model.forward(stage), stage)
            }
            residencies.append(choices + Array(repeating: .whole, count: block.stages.count - kinds.count))
        }
        let expertTokens = expertTokens(model, limit) { note($0, $1, $2) }
        phases["merge"] = MemoryPlan.Phase(name: "merge", bytes: model.merge(), stage: nil)
        var probesAtOnce = 1
        if !units.isEmpty {
            let probes = self.probesAtOnce(model, limit)
            probesAtOnce = probes.units
            phases["probe"] = MemoryPlan.Phase(name: "probe", bytes: probes.bytes, stage: nil)
        }
        if recipe.evaluation != nil { phases["evaluate"] = MemoryPlan.Phase(name: "evaluate", bytes: model.evaluate(windows: windows), stage: nil) }
        let order = ["embed", "Hessian", "factor", "mismatch", "solve", "forward", "probe", "merge", "evaluate"]
        var plan = MemoryPlan(
            keepsActivations: model.keepsActivations, tensorParallel: model.assignment.groupSize, stages: residencies, phases: order.compactMap { phases[$0] },
            beside: model.besideMatrices())
        plan.expertTokens = expertTokens
        plan.probesAtOnce = probesAtOnce
        let others = ["embed", "merge", "probe", "evaluate"].compactMap { phases[$0]?.bytes }.max() ?? 0
        plan.host = (model.ranksOfHost, max(ofHost, model.ranksOfHost * others))
        return plan
    }

    /// Tokens of an expert that are kept: as many as usual, or fewer to keep the limit.
    ///
    /// - Parameter note: is told what each phase of the choice needs.
    private func expertTokens(_ model: MemoryModel, _ limit: Int?, _ note: (String, Int, StagePlan) -> Void) -> Int {
        // All mixtures of a model are alike.
        guard let block = blocks.first(where: { $0.block.mixture != nil }), let mixture = block.block.mixture else { return .max }
        let stages = block.stages[mixture.stages(of: 0)]
        func phases(_ tokens: Int) -> [(String, Int, StagePlan)] {
            let model = model.ofExpert(mixture, stages, tokens: tokens)
            return stages.flatMap { stage in
                [
                    ("Hessian", model.expertHessian(stage), stage), ("factor", model.expertFactor(stage), stage), ("mismatch", model.expertMaps(stage), stage),
                    ("solve", model.solve(stage, .whole), stage), ("forward", model.expertForward(stages), stage),
                ]
            }
        }
        var tokens = usualExpertTokens(mixture)
        if let limit {
            while tokens > 0, (phases(tokens).map(\.1).max() ?? 0) > limit { tokens = tokens / 2 / Self.expertStepTokens * Self.expertStepTokens }
        }
        for (name, bytes, stage) in phases(tokens) { note(name, bytes, stage) }
        return tokens
    }
}

extension MemoryModel {
    /// The fastest way to solve a stage that fits, or the one that needs the least where none does.
    func residency(_ stage: StagePlan, _ limit: Int?) -> StageResidency {
        guard stage.needsHessian else { return .whole }
        var choice = StageResidency.whole
        // On several hosts a host's panels take no more than R does. On one they would be a second Hessian, and gain little.
        choice.panelsOfHost = hosts > 1 && ranksOfHost > 1
        guard let limit else { return choice }
        if factor(stage, choice) > limit || hessian(stage, choice) > limit { choice.panelsOfHost = false }
        let blocks = ColumnBlocks.ranges(of: stage.columns).count
        if factor(stage, choice) > limit || hessian(stage, choice) > limit {
            // The fewest parts that fit: each costs a visit of the batches.
            let counts = Set((2...max(blocks, 2)).map { (blocks + $0 - 1) / $0 }).sorted(by: >)
            choice.hessianBlocks = counts.first { hessian(stage, StageResidency(hessianBlocks: $0, completeFactor: true, tilesAtOnce: nil)) <= limit } ?? 1
        }
        let needsPanels = factor(stage, choice) > limit || solve(stage, choice) > limit || mismatch(stage, withLeastMismatch(choice)) > limit
        guard !stage.needsCompleteFactor, needsPanels else {
            choice.mismatchPanels = mismatchPanels(stage, choice, limit)
            return choice
        }
        (choice.completeFactor, choice.panelsOfHost) = (false, false)
        choice.mismatchPanels = mismatchPanels(stage, choice, limit)
        let tiles = max(stage.tiles.count, 1)
        choice.tilesAtOnce =
            stride(from: tiles, to: 0, by: -1).first { count in
                solve(stage, StageResidency(hessianBlocks: choice.hessianBlocks, completeFactor: false, tilesAtOnce: count)) <= limit
            } ?? 1
        return choice
    }

    private func withLeastMismatch(_ choice: StageResidency) -> StageResidency {
        var choice = choice
        choice.mismatchPanels = 1
        return choice
    }
}
