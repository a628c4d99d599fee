// What a run of compression says of each linear.

internal import Checkpoints
internal import Compression
internal import MessagePassing
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Solving
internal import Transformers

extension CompressionRun {
    /// Adds a block's linears to the outcome and says that the block is done.
    func report(_ index: Int, _ solved: [SolvedStage]) {
        guard world.isCoordinator else { return }
        let block = plan.blocks[index]
        var (loss, energy) = (0.0, 0.0)
        let first = outcome.count
        for (stageIndex, result) in solved.enumerated() {
            let stage = block.stages[stageIndex]
            let facts = findings[index][stageIndex]
            for (linearIndex, linear) in stage.linears.enumerated() {
                guard let treatment = linear.treatment else { continue }
                let tiles = stage.tiles(of: linearIndex).map { result.measures[$0] }
                let entry = LinearReport(linear.linear, treatment, tiles, facts?.linears[linearIndex], tokens: facts?.tokens)
                for tile in tiles {
                    loss += tile.sampled.loss
                    energy += tile.sampled.energy
                }
                outcome.append(entry)
            }
        }
        let linears = Array(outcome[first...])
        // What an earlier attempt has told of a block that it committed would be the same again.
        let isKnown = keys(of: index).allSatisfy(committed.contains) && linears.allSatisfy { loggedLinears.contains($0.name) }
        progress?.finish(
            block: index, summary: energy > 0 ? "relative output error \(format((loss / energy).squareRoot(), digits: 4))" : "solved without a Hessian",
            linears: isKnown ? [] : linears, mixture: mixtureReport(of: index))
    }
}

extension LinearReport {
    init(_ linear: Linear, _ treatment: Treatment, _ tiles: [TileMeasure], _ facts: LinearFacts?, tokens: Int?) {
        self.init(
            name: linear.name, method: treatment.method.rawValue, bits: treatment.bits, group: treatment.bits.map { _ in treatment.group },
            type: treatment.type.flatMap { $0 == .int ? nil : $0.rawValue }, columns: linear.columns)
        let zeroCounts = tiles.compactMap(\.zeroCount), entries = tiles.compactMap(\.entries).reduce(0, +), weights = Double(linear.rows * linear.columns)
        let share = zeroCounts.isEmpty ? nil : Double(zeroCounts.reduce(0, +)) / weights
        if treatment.type == .ternary {
            (zeros, codewordBits) = (share, Double(16 * entries + 64 * linear.rows) / weights)
        } else {
            sparsity = share
        }
        if treatment.method == .spqr, let bits = treatment.bits {
            let share = Double(entries) / weights
            (outliers, averageBits) = (share, SpQR.averageBits(bits: bits, group: treatment.group, outlierShare: share))
        }
        let clamped = tiles.reduce(0) { $0 + ($1.clampedScales ?? 0) }
        if clamped > 0 { clampedScales = clamped }
        let loss = tiles.reduce(0) { $0 + $1.loss }
        if loss.isFinite { self.loss = loss }
        let sampled = tiles.map(\.sampled).reduce((loss: 0.0, energy: 0.0)) { ($0.loss + $1.loss, $0.energy + $1.energy) }
        if sampled.energy > 0, (sampled.loss / sampled.energy).isFinite { relativeOutputError = (sampled.loss / sampled.energy).squareRoot() }
        fallback = treatment.method.needsHessian ? facts?.fallback : nil
        guard let facts, facts.fallback == nil else { return }
        damping = facts.damping
        attempts = facts.attempts
        deadColumns = facts.deadColumns
        effectiveRank = facts.effectiveRank
        self.tokens = tokens
        tokensPerColumn = tokens.map { Double($0) / Double(linear.columns) }
    }
}
