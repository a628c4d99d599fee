// A run of compression: block by block and stage by stage, from embedded calibration tokens to committed tiles.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Packing
internal import Recipes
internal import Reporting
internal import Safetensors
internal import Sharding
internal import Solving
internal import Texts
internal import Transformers

/// Compresses a model's linears over the ranks of a world.
final class CompressionRun {
    let plan: Plan
    let world: Communicator
    let work: WorkDirectory
    let identity: RunIdentity
    let clock: PhaseClock
    let stop: StopConditions
    let memory: MemoryPlan

    let tokens: TokenSequences?
    /// The files of the source as they were when the run began.
    let source: SourceFiles?
    let sourcePath: String
    let stageWeights: StageWeights
    let batches: CalibrationBatches
    /// The same batches on their way through the dense model, where linears are to give its outputs.
    let dense: CalibrationBatches?
    let solver: StageSolver
    /// What works on an expert, on its owner alone.
    let alone: (solver: StageSolver, hessian: StageHessian, weights: StageWeights)
    let hessian: StageHessian
    let journal: Journal
    let committed: CommittedTiles
    /// The last stage with a tile to solve, or behind keys and values to measure: activations need to go no further. Nil when all is there.
    private let lastWork: (block: Int, stage: Int)?
    /// The largest keys and values that were measured, and whether they are on disk.
    var cache: CacheRecord
    var cacheIsSaved = true
    let journalWriter: JournalWriter
    private(set) var progress: Progress?
    /// Linears whose reports stand in the log already.
    let loggedLinears: Set<String>

    /// What the report says about stages.
    var findings: StageFindings
    var counts = TileCounts(solved: 0, reused: 0)
    var outcome: [LinearReport] = []
    /// By block: tokens of the rank whose experts have the most, as a multiple of the mean.
    var balances: [Int: Double] = [:]

    init(_ job: Job, _ identity: RunIdentity, stop: StopConditions, memory: MemoryPlan, scratch: String?) throws {
        plan = job.plan
        self.memory = memory
        tokens = job.tokens
        source = job.sourceFiles
        sourcePath = job.model.path
        world = job.world
        work = job.work
        clock = job.clock
        self.identity = identity
        self.stop = stop
        let forward = Forward(architecture: plan.architecture, compute: plan.recipe.compute.effective, source: job.model.parameters)
        let nodes = try NodeGroups(world)
        let assignment = Assignment(ranks: world.size, groupSize: memory.tensorParallel, ranksOfHost: nodes.mostRanks)
        let group = try TensorGroup(world, assignment)
        stageWeights = StageWeights(model: job.model, forward: forward, world: world, clock: clock, phase: .read)
        solver = StageSolver(model: job.model, nodes: nodes, assignment: assignment, clock: clock)
        hessian = StageHessian(nodes: nodes, assignment: assignment, clock: clock, compute: forward.compute)
        let (own, one) = (Communicator.alone(), Assignment(ranks: 1))
        let ownNode = try NodeGroups(own)
        alone = (
            StageSolver(model: job.model, nodes: ownNode, assignment: one, clock: clock),
            StageHessian(nodes: ownNode, assignment: one, clock: clock, compute: forward.compute),
            StageWeights(model: job.model, forward: forward, world: own, clock: clock, phase: .read)
        )
        journal = try Journal(work, identity, plan, world: world)
        let committed = CommittedTiles(journal.entries, plan, work)
        self.committed = committed
        let cache = try world.fromCoordinator(exitCode: exitCode) { CacheRecord.read(job.work, identity, job.plan) }
        self.cache = cache
        lastWork = [plan.lastStage { !committed.contains($0) }, plan.lastStageToMeasure(cache)].compactMap { $0 }.max { $0 < $1 }
        let tokens = lastWork == nil ? nil : job.tokens
        journalWriter = JournalWriter(work, attempt: journal.attempt, rank: world.rank)
        loggedLinears = job.log == nil ? [] : Set(RunHistory(job.work).linears.map(\.name))
        (batches, dense) = try world.together(exitCode: exitCode) { () throws in
            func embedded() throws -> CalibrationBatches {
                try CalibrationBatches(job.plan, tokens, group: group, rank: job.world.rank, forward: forward, scratch: scratch, clock: job.clock)
            }
            return (try embedded(), job.plan.needsDenseInputs ? try embedded() : nil)
        }
        findings = StageFindings(plan, journal.entries)
        if world.isCoordinator {
            progress = Progress(tiles: plan.tileCount, blocks: plan.blocks.count, committed: committed.count, work: workLeft(), log: job.log)
        }
    }

    /// What was found of earlier attempts, in words; nil when there was nothing.
    var resumption: String? {
        let refused = journal.refused.map { "\n  not used: \($0)" }.joined()
        guard journal.attempt > 1 || !refused.isEmpty else { return nil }
        return "resuming: \(committed.count) of \(plan.tileCount) tiles are committed (attempt \(journal.attempt))\(refused)"
    }

    /// Runs every block.
    func run() throws -> CompressionOutcome {
        stop.begin()
        if world.isCoordinator { outcome.reserveCapacity(plan.compressedLinears.count) }
        for index in plan.blocks.indices {
            report(index, try runBlock(index))
            MemoryPool.giveBackHeap()
        }
        progress?.clear()
        return CompressionOutcome(linears: outcome, tiles: counts, mixtures: mixtureReports())
    }

    // MARK: - One block

    /// Solves the stages of a block, takes the batches through it, and commits it.
    private func runBlock(_ index: Int) throws -> [SolvedStage] {
        let block = plan.blocks[index]
        let propagation = plan.recipe.propagation
        let runsTwice = runsTwice(index)
        if runsTwice { try world.together(exitCode: exitCode) { try batches.beginBlock() } }
        var solved: [SolvedStage] = []
        let mixture = block.block.mixture
        for (stageIndex, stage) in block.stages.prefix(block.block.denseStages.count).enumerated() {
            clock.enter(block: index, stage: stage.stage.name)
            progress?.begin(block: index, stage: stage.stage.name)
            let result = try solveStage(stage, block: index, index: stageIndex)
            solved.append(result)
            let isLast = stageIndex == block.stages.count - 1
            guard isWork(after: index, stageIndex) else { continue }
            if let reason = try stop.reason() {
                try commit(index, solved)
                throw stopped(reason, "block \(index + 1)/\(plan.blocks.count), \(stage.stage.name)")
            }
            try advance(
                stage, propagation == .none || runsTwice ? nil : result.tiles, endsBlock: isLast && mixture == nil,
                measuring: runsTwice ? nil : attention(index, stageIndex))
            // What the other ranks solved is not needed again.
            if !runsTwice { solved[stageIndex] = result.withoutTiles }
        }
        try commit(index, solved)
        let experts = try mixture.map { try runExperts($0, block: index, runsTwice: runsTwice) }
        if runsTwice { try runAgain(index, solved, experts) }
        try commitCache()
        return solved + (experts?.stages ?? [])
    }

    /// Whether the batches pass a block twice: dense for the Hessians of its stages, then as it was compressed. A committed block has no Hessians to make.
    func runsTwice(_ block: Int) -> Bool { plan.recipe.propagation == .block && !keys(of: block).allSatisfy(committed.contains) }

    /// Commits the stages of a block from the first on.
    private func commit(_ index: Int, _ solved: [SolvedStage]) throws {
        var stages = Dictionary(uniqueKeysWithValues: solved.enumerated().map { ($0.offset, $0.element) })
        try commit(index, &stages)
    }

    func keys(of block: Int) -> [TileKey] {
        plan.blocks[block].stages.enumerated().flatMap { stage, stagePlan in
            stagePlan.tiles.indices.map { TileKey(block: block, stage: stage, tile: $0) }
        }
    }

    /// Whether any stage after this one has tiles to solve.
    func isWork(after block: Int, _ stage: Int) -> Bool {
        lastWork.map { $0 > (block, stage) } ?? false
    }

    func stopped(_ reason: String, _ place: String) -> AgreedFailure {
        progress?.clear()
        let done = committed.count + counts.solved
        return stop.failure(
            reason, after: place,
            committed: "; \(done) of \(plan.tileCount) tiles are committed in \(work.output) (\(counts.solved) solved by this run)")
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
