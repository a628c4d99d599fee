// What a run keeps in memory so as to fit a limit: the fastest way that does.

internal import Compression
internal import LinearAlgebra
internal import Recipes
internal import Transformers

extension Plan {
    /// What a process holds before it begins, where it is not measured: Swift's and MPI's libraries, plan and index.
    public static let usualStart = 60 << 20

    /// By how much what a process holds before it begins may differ from run to run: the kernel maps those pages of the libraries that it has in memory.
    /// Starts of one command differed by up to 2.4 MiB.
    private static let differenceOfStarts = 4 << 20

    /// What libraries take as they are used: buffers of BLAS and oneDNN for each thread, generated code, messages of MPI between the ranks of a node.
    public static func libraryBytes(threads: Int, ranks: Int) -> Int {
        (24 << 20) + threads * (16 << 20) + min(ranks - 1, 16) * (2 << 20)
    }

    /// The ranks of the host that has the most.
    ///
    /// - Parameter nodes: of each rank.
    private static func mostRanks(ofNodes nodes: [Int]) -> Int { Dictionary(grouping: nodes) { $0 }.values.map(\.count).max() ?? 1 }

    /// Shapes of the column loop's products in the longest rows, whose code is kept besides the usual.
    public var columnLoopShapes: Int {
        ColumnLoop.productShapes(columns: blocks.lazy.flatMap { $0.stages.lazy.filter(\.needsHessian).map(\.columns) }.max() ?? 0)
    }

    static func usualBase(threads: Int, ranks: Int) -> Int { usualStart + libraryBytes(threads: threads, ranks: ranks) }

    /// Picks what is kept in memory: everything when there is no limit; under one, the fastest way that fits.
    ///
    /// - Parameters:
    ///   - base: what the process holds beside; nil: the usual.
    ///   - keepsActivations: true or false when the user has chosen their place.
    ///   - tensorParallel: ranks that share a stage's forward pass, when the user has chosen their number; else those that there are for each
    ///     batch, or more to keep the limit.
    ///   - nodes: of each rank, where they are known.
    ///   - ranksOfHost: that share memory, at most, where nodes are not known.
    ///   - windows: of the recipe's evaluation; nil: those that it asks for.
    /// - Throws: `MemoryShortage`
    public func memoryPlan(
        ranks: Int, threads: Int, base: Int? = nil, limit: MemoryLimit, keepsActivations: Bool? = nil, tensorParallel: Int? = nil, nodes: [Int]? = nil,
        ranksOfHost usual: Int = usualRanksOfHost, windows: Int? = nil
    ) throws(MemoryShortage) -> MemoryPlan {
        let choices = keepsActivations.map { [$0] } ?? (limit.isNone ? [true] : [true, false])
        let threads = max(threads, 1)
        let kinds = blocks.map { block in block.stages.prefix(block.block.denseStages.count).map(StageKind.init) }
        let groups = stageGroups, channelBytes = channelMeasurement?.channels ?? 0
        let code = ProductCache.byteCount(of: columnLoopShapes)
        /// The first plan that fits, or the one that needs the least where none does.
        func found(
            ranks: Int, ranksOfHost: Int? = nil, batchSequences: Int? = nil, tensorParallel: Int?, nodes: [Int]? = nil, room: Int = 0
        ) -> MemoryPlan {
            let possible = TensorParallel.sizes(ranks: ranks, nodes: nodes)
            // As many ranks share a batch as there are ranks for each.
            let fewest = batches.isEmpty ? 1 : possible.last { $0 <= ranks / batches.count } ?? 1
            let sizes = tensorParallel.map { [$0] } ?? (limit.isNone ? [fewest] : possible.filter { $0 >= fewest })
            let ofHost = min(ranksOfHost ?? nodes.map(Self.mostRanks(ofNodes:)) ?? usual, ranks)
            let changing = recipe.equivalence == nil ? 0 : threads * TensorTransform.workspaceBytes
            let base = (base ?? Self.usualBase(threads: threads, ranks: ranks)) + changing + channelBytes + dictionaryBytes + code + room
            var least: MemoryPlan?
            for size in sizes {
                for keeps in choices {
                    let model = MemoryModel(
                        self, groups, ranks: ranks, ranksOfHost: ofHost, tensorParallel: size, threads: threads, base: base, keepsActivations: keeps,
                        batchSequences: batchSequences)
                    let plan = memoryPlan(model, kinds, limit, windows: windows ?? recipe.evaluation?.sequences ?? 0)
                    if limit.use(of: plan) <= 1 { return plan }
                    if limit.use(of: plan) < least.map(limit.use) ?? .infinity { least = plan }
                }
            }
            guard let least else { preconditionFailure("\(ranks) ranks in groups of no size") }
            return least
        }
        let best = found(ranks: ranks, tensorParallel: tensorParallel, nodes: nodes)
        guard limit.use(of: best) > 1, let most = best.phases.max(by: { $0.bytes < $1.bytes }) else { return best }
        let isHosts = limit.isShortOfHost(best), worst = isHosts ? best.host.phase : most
        // What is said to fit has room for a start that holds more than this one.
        let room = Self.differenceOfStarts
        func fits(ranks: Int, ranksOfHost: Int? = nil, batchSequences: Int? = nil) -> Bool {
            let plan = found(
                ranks: ranks, ranksOfHost: ranksOfHost, batchSequences: batchSequences, tensorParallel: tensorParallel,
                nodes: ranks == nodes?.count && ranksOfHost == nil ? nodes : nil, room: room)
            return limit.use(of: plan) <= 1
        }
        let key = isHosts ? "memory_per_host" : "memory_per_rank"
        let sufficient = found(ranks: ranks, tensorParallel: tensorParallel, nodes: nodes, room: room)
        var remedies = ["\(key): \(mebibytes(isHosts ? sufficient.host.bytes : sufficient.bound))"]
        if isHosts, let fewer = (1...10).map({ best.host.ranks >> $0 }).first(where: { $0 > 0 && fits(ranks: ranks, ranksOfHost: $0) }) {
            remedies.append("\(ranks) ranks with \(fewer) on a host")
        }
        if let more = (1...10).map({ ranks << $0 }).first(where: { fits(ranks: $0) }) { remedies.append("\(more) ranks") }
        if tensorParallel != nil {
            let other = found(ranks: ranks, tensorParallel: nil, nodes: nodes, room: room)
            if limit.use(of: other) <= 1 { remedies.append("--tensor-parallel \(other.tensorParallel)") }
        }
        if let first = batches.first, first.count > 1, fits(ranks: ranks, batchSequences: 1) { remedies.append("`calibration.batch: 1` (another plan)") }
        if worst.name == "evaluate" { remedies.append("`evaluation: null`, and `cleave eval` on a larger machine") }
        let freed =
            keepsActivations != true
            ? nil
            : try? memoryPlan(
                ranks: ranks, threads: threads, base: (base ?? Self.usualBase(threads: threads, ranks: ranks)) + room, limit: limit,
                tensorParallel: tensorParallel, nodes: nodes, ranksOfHost: usual, windows: windows)
        if freed != nil { remedies.append("--activations scratch") }
        throw MemoryShortage(
            key: key, limit: (isHosts ? limit.host : limit.rank) ?? 0, holder: isHosts ? best.host.holder : "a rank", phase: worst,
            remedies: remedies)
    }

    /// - Parameter kinds: what decides the costs of each stage that every token passes, by block.
    private func memoryPlan(_ model: MemoryModel, _ kinds: [[StageKind]], _ limit: MemoryLimit, windows: Int) -> MemoryPlan {
        var residencies: [[StageResidency]] = []
        var phases: [String: MemoryPlan.Phase] = [:]
        var known: [StageKind: StageResidency] = [:]  // by kind: most stages are alike
        var ofHost = MemoryPlan.Phase(name: "embed", bytes: 0, stage: nil)
        func note(_ name: String, _ bytes: Int, _ stage: StagePlan?, shared: Int = 0) {
            let phase = MemoryPlan.Phase(name: name, bytes: bytes, stage: stage?.stage.name), together = model.hostBytes(bytes, shared: shared)
            if together > ofHost.bytes { ofHost = MemoryPlan.Phase(name: name, bytes: together, stage: phase.stage) }
            if bytes > phases[name]?.bytes ?? 0 { phases[name] = phase }
        }
        note("embed", model.embed(), nil)
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
        note("merge", model.merge(), nil)
        var probesAtOnce = 1
        if !units.isEmpty {
            let probes = self.probesAtOnce(model, limit)
            probesAtOnce = probes.units
            note("probe", probes.bytes, nil)
        }
        if recipe.evaluation != nil { note("evaluate", model.evaluate(windows: windows), nil) }
        let order = ["embed", "Hessian", "factor", "mismatch", "solve", "forward", "probe", "merge", "evaluate"]
        var plan = MemoryPlan(
            keepsActivations: model.keepsActivations, tensorParallel: model.assignment.groupSize, stages: residencies, phases: order.compactMap { phases[$0] },
            beside: model.besideMatrices())
        plan.expertTokens = expertTokens
        plan.probesAtOnce = probesAtOnce
        plan.host = MemoryPlan.Host(ranks: model.ranksOfHost, phase: ofHost)
        return plan
    }

    /// Tokens of an expert that are kept: as many as usual, or fewer to keep the limit.
    ///
    /// - Parameter note: is told what each phase of the choice needs.
    private func expertTokens(_ model: MemoryModel, _ limit: MemoryLimit, _ note: (String, Int, StagePlan) -> Void) -> Int {
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
        while tokens > 0, !phases(tokens).allSatisfy({ model.keeps(limit, $0.1) }) { tokens = tokens / 2 / Self.expertStepTokens * Self.expertStepTokens }
        for (name, bytes, stage) in phases(tokens) { note(name, bytes, stage) }
        return tokens
    }
}
