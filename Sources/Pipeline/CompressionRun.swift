// A run of compression: block by block and stage by stage, from embedded calibration tokens to committed tiles.

internal import Compression
internal import MessagePassing
internal import Packing
internal import Recipes
internal import Reporting
internal import Safetensors
internal import Sharding
internal import Transformers

/// Compresses a model's linears over the ranks of a world.
final class CompressionRun {
    let plan: Plan
    let world: Communicator
    private let work: WorkDirectory
    private let identity: RunIdentity
    private let clock: PhaseClock
    private let stop: StopConditions
    private let memory: MemoryPlan

    private let tokens: TokenSequences?
    private let stageWeights: StageWeights
    private let batches: CalibrationBatches
    private let solver: StageSolver
    private let hessian: StageHessian
    private let journal: Journal
    private let committed: CommittedTiles
    /// The last stage with a tile to solve: activations need to go no further. Nil when every tile is committed.
    private let lastWork: (block: Int, stage: Int)?
    private let journalWriter: JournalWriter
    let progress: Progress?

    /// What the report says about stages, by block and stage.
    private(set) var facts: [Int: [Int: StageFacts]] = [:]
    private var counts = TileCounts(solved: 0, reused: 0)
    var outcome: [LinearReport] = []

    init(_ job: Job, _ identity: RunIdentity, stop: StopConditions, memory: MemoryPlan, scratch: String?) throws {
        plan = job.plan
        self.memory = memory
        tokens = job.tokens
        world = job.world
        work = job.work
        clock = job.clock
        self.identity = identity
        self.stop = stop
        let forward = Forward(architecture: plan.architecture, compute: plan.recipe.compute.effective, source: job.model.parameters)
        let assignment = Assignment(ranks: world.size, groupSize: memory.tensorParallel)
        let group = try TensorGroup(world, assignment)
        stageWeights = StageWeights(model: job.model, forward: forward, world: world, clock: clock, phase: .read)
        solver = StageSolver(model: job.model, world: world, assignment: assignment, clock: clock)
        hessian = StageHessian(world: world, assignment: assignment, clock: clock, compute: forward.compute)
        journal = try Journal(work, identity, plan, world: world)
        let committed = CommittedTiles(journal.entries, plan, work)
        self.committed = committed
        lastWork = plan.lastStage { !committed.contains($0) }
        let tokens = lastWork == nil ? nil : job.tokens
        journalWriter = JournalWriter(work, attempt: journal.attempt, rank: world.rank)
        progress = world.isCoordinator ? Progress(tiles: plan.tileCount, blocks: plan.blocks.count) : nil
        batches = try world.together(exitCode: exitCode) { () throws in
            try CalibrationBatches(
                job.plan, tokens, group: group, rank: job.world.rank, forward: forward, scratch: scratch, clock: job.clock)
        }
        for entry in journal.entries { facts[entry.block, default: [:]].merge(entry.stages) { old, _ in old } }
    }

    /// What was found of earlier attempts, in words; nil when there was nothing.
    var resumption: String? {
        let refused = journal.refused.map { "\n  not used: \($0)" }.joined()
        guard journal.attempt > 1 || !refused.isEmpty else { return nil }
        return "resuming: \(committed.count) of \(plan.tileCount) tiles are committed (attempt \(journal.attempt))\(refused)"
    }

    /// Runs every block.
    /// - Returns: what became of each linear, and how many tiles were solved and reused.
    func run() throws -> (linears: [LinearReport], tiles: TileCounts) {
        stop.begin()
        for index in plan.blocks.indices { report(index, try runBlock(index)) }
        progress?.clear()
        return (outcome, counts)
    }

    // MARK: - One block

    /// Solves the stages of a block, takes the batches through it, and commits it.
    private func runBlock(_ index: Int) throws -> [SolvedStage] {
        let block = plan.blocks[index]
        let propagation = plan.recipe.propagation
        let isCommitted = keys(of: index).allSatisfy(committed.contains)
        // Dense inside the block for the Hessians of its stages, then again as it was compressed; a committed block has no Hessians to make.
        let runsTwice = propagation == .block && !isCommitted
        if runsTwice { try world.together(exitCode: exitCode) { try batches.beginBlock() } }
        var solved: [SolvedStage] = []
        for (stageIndex, stage) in block.stages.enumerated() {
            progress?.begin(block: index, stage: stage.stage.name)
            let result = try solveStage(stage, block: index, index: stageIndex)
            solved.append(result)
            let isLast = stageIndex == block.stages.count - 1
            guard isWork(after: index, stageIndex) else { continue }
            if let reason = try stop.reason() {
                try commit(index, solved)
                throw stopped(reason, "block \(index + 1)/\(plan.blocks.count), \(stage.stage.name)")
            }
            try advance(stage, propagation == .none || runsTwice ? nil : result.tiles, endsBlock: isLast)
            // What the other ranks solved is not needed again.
            if !runsTwice { solved[stageIndex].keepOwn() }
        }
        try commit(index, solved)
        if runsTwice, isWork(after: index, block.stages.count - 1) {
            try world.together(exitCode: exitCode) { try batches.rewind() }
            for (stage, result) in zip(block.stages, solved) { try advance(stage, result.tiles, endsBlock: stage.stage == block.stages.last?.stage) }
        }
        return solved
    }

    private func keys(of block: Int) -> [TileKey] {
        plan.blocks[block].stages.enumerated().flatMap { stage, stagePlan in
            stagePlan.tiles.indices.map { TileKey(block: block, stage: stage, tile: $0) }
        }
    }

    /// Whether any stage after this one has tiles to solve.
    private func isWork(after block: Int, _ stage: Int) -> Bool {
        lastWork.map { $0 > (block, stage) } ?? false
    }

    /// Takes every batch through a stage, with its compressed weights when `tiles` are given.
    private func advance(_ stage: StagePlan, _ tiles: [Int: EncodedTile]?, endsBlock: Bool) throws {
        let weights = try stageWeights.load(stage, tiles: tiles, pieces: batches.pieces(stage.stage))
        let failure = try batches.advance(stage.stage, weights: weights, endsBlock: endsBlock)
        try world.together(exitCode: exitCode) { () throws in if let failure { throw failure } }
    }

    private func stopped(_ reason: String, _ place: String) -> AgreedFailure {
        progress?.clear()
        let done = committed.count + counts.solved
        return stop.failure(
            reason, after: place,
            committed: "; \(done) of \(plan.tileCount) tiles are committed in \(work.output) (\(counts.solved) solved by this run)")
    }

    /// The tiles of a stage from which this rank's pieces are decoded.
    private func neededTiles(_ stage: StagePlan, block: Int, index: Int) -> Set<Int> {
        guard plan.recipe.propagation != .none, isWork(after: block, index) else { return [] }
        let parts = batches.pieces(stage.stage).flatMap(\.parts)
        return Set(stage.tiles.indices.filter { tile in parts.contains { $0.linear == stage.tiles[tile].linear && $0.rows.overlaps(stage.tiles[tile].rows) } })
    }

    private func solveStage(_ stage: StagePlan, block: Int, index: Int) throws -> SolvedStage {
        let keys = stage.tiles.indices.map { TileKey(block: block, stage: index, tile: $0) }
        let reused = keys.count(where: committed.contains)
        solver.readAhead(
            stage, isMissing: { !committed.contains(keys[$0]) }, pieces: batches.pieces(stage.stage), isDense: plan.recipe.propagation != .stage)
        let factors = reused == keys.count ? [:] : try makeFactors(stage, block: block, index: index)
        let result = try solver.solve(
            stage, block: block, index: index, factors: factors, tilesAtOnce: memory.stages[block][index].tilesAtOnce, committed: committed,
            needed: neededTiles(stage, block: block, index: index))
        counts.solved += keys.count - reused
        counts.reused += reused
        progress?.advance(block: block, stage: stage.stage.name, solved: keys.count - reused, reused: reused)
        return result
    }

    // MARK: - Hessians and fallbacks

    private func makeFactors(_ stage: StagePlan, block: Int, index: Int) throws -> [FactorSettings: FactorOutcome] {
        guard let tokens, stage.linears.contains(where: { $0.treatment != nil }) else { return [:] }
        let count = tokens.sequences.reduce(0) { $0 + $1.count }
        let residency = memory.stages[block][index]
        let sum = try hessian.accumulate(
            batches, stage.stage, tokens: count, blocks: residency.hessianBlocks, name: "\(plan.blocks[block].block.name), \(stage.stage.name)")
        var factors: [FactorSettings: FactorOutcome] = [:]
        for treatment in stage.linears.compactMap(\.treatment) where factors[FactorSettings(treatment)] == nil {
            factors[FactorSettings(treatment)] = try hessian.factor(sum, settings: FactorSettings(treatment), isComplete: residency.completeFactor)
        }
        let linears = stage.linears.map { linear in linear.treatment.flatMap { factors[FactorSettings($0)] }.map(LinearFacts.init) }
        facts[block, default: [:]][index] = StageFacts(linears: linears, tokens: count)
        try checkFallbacks()
        return factors
    }

    /// Holds the linears that had to be rounded to nearest, those of earlier attempts too, to the recipe's limit.
    private func checkFallbacks() throws {
        var fallbacks: [String] = []
        var remedies: Set<String> = []
        for (block, stages) in facts.sorted(by: { $0.key < $1.key }) {
            for (stage, found) in stages.sorted(by: { $0.key < $1.key }) {
                for (linear, fact) in zip(plan.blocks[block].stages[stage].linears, found.linears) where linear.treatment?.method.needsHessian == true {
                    guard let reason = fact?.fallback else { continue }
                    fallbacks.append("\(linear.linear.name): \(reason)")
                    remedies.insert(linear.treatment?.method.prunes == true ? "pruned by magnitude" : "rounded to nearest")
                }
            }
        }
        guard fallbacks.count > plan.recipe.maxFallbacks else { return }
        throw AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
            description:
                "\(fallbacks.count) linears had to be \(remedies.sorted().joined(separator: " or ")), more than `max_fallbacks: \(plan.recipe.maxFallbacks)` allows:\n  "
                + fallbacks.joined(separator: "\n  "))
    }

    // MARK: - Commit

    /// Writes the tiles that this rank has solved, then says so in the journal.
    private func commit(_ index: Int, _ solved: [SolvedStage]) throws {
        try world.together(exitCode: exitCode) { try clock.measure(.commit) { () throws in try write(index, solved) } }
    }

    private func write(_ index: Int, _ solved: [SolvedStage]) throws {
        let block = plan.blocks[index]
        let own = solved.enumerated().flatMap { stage, result in
            result.solvedHere.map { (key: TileKey(block: index, stage: stage, tile: $0.key), tile: $0.value) }
        }
        guard !own.isEmpty else { return }
        let file = PartialCheckpoint.fileName(block: index, attempt: journal.attempt, rank: world.rank)
        let written = try PartialCheckpoint.write(own, of: block, to: work.partialCheckpoints + "/" + file, planHash: identity.planHash)
        let runs = solved.enumerated().flatMap { stage, result in Self.runs(result.solvedHere.keys.sorted(), stage: stage) }
        try journalWriter.append(
            JournalEntry(
                planHash: identity.planHash, sourceDigest: identity.sourceDigest, block: index, file: file, bytes: written.byteCount,
                checksum: written.checksum, tiles: runs, stages: facts[index] ?? [:]))
    }

    /// Consecutive indices as runs.
    private static func runs(_ tiles: [Int], stage: Int) -> [TileRun] {
        tiles.reduce(into: []) { runs, tile in
            if let last = runs.last, last.first + last.count == tile {
                runs[runs.count - 1].count += 1
            } else {
                runs.append(TileRun(stage: stage, first: tile, count: 1))
            }
        }
    }
}

extension Plan {
    /// The last stage that has such a tile.
    fileprivate func lastStage(_ isChosen: (TileKey) -> Bool) -> (block: Int, stage: Int)? {
        for (block, blockPlan) in blocks.enumerated().reversed() {
            for (stage, stagePlan) in blockPlan.stages.enumerated().reversed() {
                if stagePlan.tiles.indices.contains(where: { isChosen(TileKey(block: block, stage: stage, tile: $0)) }) { return (block, stage) }
            }
        }
        return nil
    }
}
