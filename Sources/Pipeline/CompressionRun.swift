// A run of compression: block by block and stage by stage, from embedded calibration tokens to committed tiles.

internal import Compression
internal import LinearAlgebra
public import MessagePassing
internal import Packing
internal import Recipes
public import Reporting
internal import Safetensors
public import Sharding
internal import Transformers

/// Compresses a model's linears over the ranks of a world.
public final class CompressionRun {
    private let plan: Plan
    private let model: Model
    private let tokens: TokenSequences?
    private let world: Communicator
    private let work: WorkDirectory
    private let planHash: String
    private let clock: PhaseClock

    private let forward: Forward
    private let assignment: Assignment
    private let solver: StageSolver
    private let hessian: StageHessian
    private let journal: Journal
    private let committed: CommittedTiles
    private let journalWriter: JournalWriter
    private let progress: Progress?

    /// The batches of this rank.
    private var states: [BatchState] = []
    /// What the report says about stages, by block and stage.
    private var facts: [Int: [Int: StageFacts]] = [:]
    private var counts = TileCounts(solved: 0, reused: 0)
    private var fallbacks: [String] = []
    private var outcome: [LinearReport] = []

    public init(
        plan: Plan, planHash: String, model: Model, tokens: TokenSequences?, work: WorkDirectory, world: Communicator, clock: PhaseClock
    ) throws {
        self.plan = plan
        self.model = model
        self.tokens = tokens
        self.world = world
        self.work = work
        self.planHash = planHash
        self.clock = clock
        forward = Forward(architecture: plan.architecture, compute: plan.recipe.compute.effective, source: model.parameters)
        assignment = Assignment(ranks: world.size)
        solver = StageSolver(model: model, world: world, assignment: assignment, clock: clock)
        hessian = StageHessian(world: world, clock: clock)
        journal = try Journal(work, planHash: planHash, plan: plan, world: world)
        committed = CommittedTiles(journal.entries, plan, work)
        journalWriter = JournalWriter(work, attempt: journal.attempt, rank: world.rank)
        progress = world.isCoordinator ? Progress(tiles: plan.tileCount, blocks: plan.blocks.count) : nil
        for entry in journal.entries { facts[entry.block, default: [:]].merge(entry.stages) { old, _ in old } }
    }

    /// What was found of earlier attempts, in words; nil when there was nothing.
    public var resumption: String? {
        guard journal.attempt > 1 else { return nil }
        let refused = journal.refused.map { "\n  not used: \($0)" }.joined()
        return "resuming: \(committed.count) of \(plan.tileCount) tiles are committed (attempt \(journal.attempt))\(refused)"
    }

    /// Runs every block.
    /// - Returns: what became of each linear, and how many tiles were solved and reused.
    public func run() throws -> (linears: [LinearReport], tiles: TileCounts) {
        try embed()
        for index in plan.blocks.indices {
            let solved = try runBlock(index)
            try commit(index, solved)
            report(index, solved)
        }
        progress?.clear()
        return (outcome, counts)
    }

    // MARK: - One block

    private func embed() throws {
        guard let tokens else { return }
        try clock.measure(.forward) { () throws in
            states = try assignment.batches(plan, of: world.rank).map { batch in
                try forward.embed(plan.batches[batch].map { tokens.sequences[$0] })
            }
        }
    }

    /// Solves the stages of a block and takes the batches through it.
    private func runBlock(_ index: Int) throws -> [SolvedStage] {
        let block = plan.blocks[index]
        let atStart = plan.recipe.propagation == .block ? states.map { $0.copy() } : []
        var solved: [SolvedStage] = []
        for stageIndex in block.stages.indices {
            let stage = block.stages[stageIndex]
            progress?.begin(block: index, stage: stage.stage.name)
            let inputs = try clock.measure(.forward) { () throws in
                try states.map { try forward.input(of: stage.stage, $0) }
            }
            let result = try solveStage(stage, block: index, index: stageIndex, inputs)
            solved.append(result)
            try advance(stage, plan.recipe.propagation == .stage ? result.tiles : nil, inputs)
        }
        finishBlock()
        if plan.recipe.propagation == .block {
            states = atStart
            for (stage, result) in zip(block.stages, solved) {
                let inputs = try clock.measure(.forward) { () throws in
                    try states.map { try forward.input(of: stage.stage, $0) }
                }
                try advance(stage, result.tiles, inputs)
            }
            finishBlock()
        }
        return solved
    }

    /// Takes every batch through a stage, with its compressed weights when `tiles` are given.
    private func advance(_ stage: StagePlan, _ tiles: [EncodedTile]?, _ inputs: [Activation]) throws {
        guard !states.isEmpty else { return }
        let weights = try clock.measure(.read) { () throws in
            try tiles.map { try forward.weights(stage, tiles: $0) } ?? forward.weights(stage.stage)
        }
        try clock.measure(.forward) { () throws in
            for index in states.indices {
                try forward.apply(stage.stage, weights: weights, to: inputs[index], &states[index])
            }
        }
    }

    private func finishBlock() {
        clock.measure(.forward) {
            for index in states.indices { forward.finishBlock(&states[index]) }
        }
    }

    private func solveStage(_ stage: StagePlan, block: Int, index: Int, _ inputs: [Activation]) throws -> SolvedStage {
        let keys = stage.tiles.indices.map { TileKey(block: block, stage: index, tile: $0) }
        let reused = keys.count(where: committed.contains)
        let factors = reused == keys.count ? [:] : try makeFactors(stage, block: block, index: index, inputs)
        let result = try solver.solve(stage, block: block, index: index, factors: factors, committed: committed)
        counts.solved += keys.count - reused
        counts.reused += reused
        progress?.advance(block: block, stage: stage.stage.name, solved: keys.count - reused, reused: reused)
        return result
    }

    // MARK: - Hessians and fallbacks

    private func makeFactors(_ stage: StagePlan, block: Int, index: Int, _ inputs: [Activation]) throws -> [FactorSettings: FactorOutcome] {
        guard let tokens, stage.linears.contains(where: { $0.treatment != nil }) else { return [:] }
        let owner = assignment.factorOwner(block: block, stage: index)
        let count = tokens.sequences.reduce(0) { $0 + $1.count }
        let gram = try hessian.accumulate(
            inputs, columns: stage.columns, tokens: count, owner: owner, name: "\(plan.blocks[block].block.name), \(stage.stage.name)")
        var factors: [FactorSettings: FactorOutcome] = [:]
        for treatment in stage.linears.compactMap(\.treatment) where factors[FactorSettings(treatment)] == nil {
            factors[FactorSettings(treatment)] = try hessian.factor(gram, settings: FactorSettings(treatment), owner: owner)
        }
        let linears = stage.linears.map { linear in linear.treatment.flatMap { factors[FactorSettings($0)] }.map(LinearFacts.init) }
        facts[block, default: [:]][index] = StageFacts(linears: linears, tokens: count)
        try noteFallbacks(stage, linears)
        return factors
    }

    private func noteFallbacks(_ stage: StagePlan, _ facts: [LinearFacts?]) throws {
        for (linear, fact) in zip(stage.linears, facts) where linear.treatment?.method.needsHessian == true {
            if let reason = fact?.fallback { fallbacks.append("\(linear.linear.name): \(reason)") }
        }
        guard fallbacks.count > plan.recipe.maxFallbacks else { return }
        throw AgreedFailure(
            rank: 0, exitCode: PipelineError.Kind.badInput.rawValue,
            description: "\(fallbacks.count) linears had to be rounded to nearest, more than `max_fallbacks: \(plan.recipe.maxFallbacks)` allows:\n  "
                + fallbacks.joined(separator: "\n  "))
    }

    // MARK: - Commit and report

    /// Writes the tiles that this rank has solved, then says so in the journal.
    private func commit(_ index: Int, _ solved: [SolvedStage]) throws {
        let block = plan.blocks[index]
        let own = solved.enumerated().flatMap { stage, result in
            result.solvedHere.map { (key: TileKey(block: index, stage: stage, tile: $0), tile: result.tiles[$0]) }
        }
        guard !own.isEmpty else { return }
        try clock.measure(.commit) { () throws in
            let file = PartialCheckpoint.fileName(block: index, attempt: journal.attempt, rank: world.rank)
            let written = try PartialCheckpoint.write(own, of: block, to: work.partialCheckpoints + "/" + file, planHash: planHash)
            let runs = solved.enumerated().flatMap { stage, result in Self.runs(result.solvedHere, stage: stage) }
            try journalWriter.append(
                JournalEntry(
                    planHash: planHash, block: index, file: file, bytes: written.byteCount, checksum: written.checksum, tiles: runs,
                    stages: facts[index] ?? [:]))
        }
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

    private func report(_ index: Int, _ solved: [SolvedStage]) {
        guard world.isCoordinator else { return }
        let block = plan.blocks[index]
        var (loss, energy) = (0.0, 0.0)
        for (stageIndex, result) in solved.enumerated() {
            let stage = block.stages[stageIndex]
            let facts = facts[index]?[stageIndex]
            for (linearIndex, linear) in stage.linears.enumerated() {
                guard let treatment = linear.treatment else { continue }
                let tiles = stage.tiles.indices.filter { stage.tiles[$0].linear == linearIndex }.map { result.tiles[$0] }
                let entry = LinearReport(linear.linear.name, treatment, tiles, facts?.linears[linearIndex], tokens: facts?.tokens)
                loss += entry.loss ?? 0
                energy += tiles.reduce(0) { $0 + ($1.energy.isNaN ? 0 : $1.energy) }
                outcome.append(entry)
            }
        }
        progress?.finish(block: index, summary: energy > 0 ? "relative output error \(format((loss / energy).squareRoot(), digits: 4))" : "rounded to nearest")
    }
}

extension LinearFacts {
    init(_ outcome: FactorOutcome) {
        switch outcome {
        case .factor(let factor):
            self.init(damping: factor.dampingFraction, attempts: factor.attempts, deadColumns: factor.deadColumns.count, fallback: nil)
        case .singular(let reason):
            self.init(damping: 0, attempts: 0, deadColumns: 0, fallback: reason)
        }
    }
}

extension LinearReport {
    init(_ name: String, _ treatment: Treatment, _ tiles: [EncodedTile], _ facts: LinearFacts?, tokens: Int?) {
        self.init(name: name, method: treatment.method.rawValue, bits: treatment.bits, group: treatment.group)
        let loss = tiles.reduce(0) { $0 + $1.loss }
        let energy = tiles.reduce(0) { $0 + $1.energy }
        if loss.isFinite { self.loss = loss }
        if loss.isFinite, energy > 0 { relativeOutputError = (loss / energy).squareRoot() }
        fallback = treatment.method.needsHessian ? facts?.fallback : nil
        guard let facts, facts.fallback == nil else { return }
        damping = facts.damping
        attempts = facts.attempts
        deadColumns = facts.deadColumns
        self.tokens = tokens
    }
}
