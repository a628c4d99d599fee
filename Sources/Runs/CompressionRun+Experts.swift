// The experts of a block as a part of a run: what the ranks found, told to all; what they solved, committed part by part.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import Foundation
internal import LinearAlgebra
internal import MessagePassing
internal import Packing
internal import Recipes
internal import Reporting
internal import Sharding
internal import Solving
internal import Transformers

/// The experts of a block after their rounds.
struct SolvedExperts {
    let mixture: Mixture
    /// The experts of each rank.
    let owned: [[Int]]
    /// Of this rank's experts, by the places of stages, with their tiles where the block runs again.
    let own: [Int: SolvedStage]
    /// Of all experts, in the order of the block's stages: what was measured.
    let stages: [SolvedStage]
}

extension CompressionRun {
    /// Works on the experts of a block. Collective.
    ///
    /// - Parameter runsTwice: whether the block is run again with all its compressed weights.
    func runExperts(_ mixture: Mixture, block: Int, runsTwice: Bool) throws -> SolvedExperts {
        let plan = plan.blocks[block]
        let places = mixture.firstStage..<plan.stages.count
        guard isWork(after: block, mixture.firstStage - 1) else { return try readExperts(mixture, block: block) }
        clock.enter(block: block, stage: "experts")
        progress?.begin(block: block, stage: "experts")
        let isWorkAfter = !runsTwice && isWork(after: block, plan.stages.count - 1)
        let needsDense = isWorkAfter || plan.stages[places].contains(where: \.needsDenseInput)
        let run = MixtureRun(
            plan: self.plan, block: block, pass: try batches.pass(mixture, plan.block, world: world),
            dense: needsDense ? try dense?.pass(mixture, plan.block, world: world) : nil,
            tools: ExpertTools(
                solver: alone.solver, hessian: alone.hessian, weights: alone.weights, committed: committed, clock: clock,
                runsCompressed: self.plan.recipe.propagation == .stage),
            mostKept: memory.expertTokens, isWorkAfter: isWorkAfter)
        progress?.did(.routing, work: routingWork(block))
        var kept: [Int: SolvedStage] = [:], waiting: [Int: SolvedStage] = [:], measures: [Int: [TileMeasure]] = [:]
        var (part, roundsOfPart) = (0, 0)
        let costs = run.costs()
        let owned = run.owners(costs)
        let rounds = MixturePass.rounds(owned)
        let shares = (solving: ExpertCosts.shares(of: rounds, costs.map(\.solving)), passing: ExpertCosts.shares(of: rounds, costs.map(\.passing)))
        balances[block] = run.balance(owned)
        // The same on every rank, whatever each has solved.
        let bytesOfExpert = mixture.stages(of: 0).map { plan.stages[$0] }.reduce(0) { sum, stage in
            sum + MemoryPool.pieceBytes(stage.tiles.indices.reduce(0) { $0 + stage.layout(of: $1).byteCount })
        }
        let mostRounds = max(Plan.expertBytesOfPart / max(bytesOfExpert, 1), 1)
        var done = 0
        try run.run(owned) { _ in
            progress?.did(.solvingExperts, work: solvingExpertsWork(block) * shares.solving[done])
        } finished: { round, result in
            if run.isWorkAfter { progress?.did(.passingExperts, work: passingExpertsWork(block) * shares.passing[done]) }
            if runsTwice { kept.merge(result.solved) { _, new in new } }
            waiting.merge(result.solved.mapValues(\.withoutTiles)) { _, new in new }
            let shared = try share(result, round, mixture, block: block)
            measures.merge(shared) { _, new in new }
            done += 1
            roundsOfPart += 1
            guard roundsOfPart == mostRounds || done == rounds.count else { return }
            part += 1
            roundsOfPart = 0
            try commit(block, &waiting, part: part)
            if done < rounds.count, let reason = try stop.reason() {
                throw stopped(reason, "block \(block + 1)/\(self.plan.blocks.count), some of its experts")
            }
        }
        if run.isWorkAfter {
            try world.together(exitCode: exitCode) {
                try batches.finishBlock()
                try dense?.finishBlock()
            }
        }
        return SolvedExperts(
            mixture: mixture, owned: owned, own: kept, stages: places.map { SolvedStage(measures: measures[$0] ?? []) })
    }

    /// Takes the batches through experts with their compressed weights, and ends the block. Collective.
    func runSolved(_ experts: SolvedExperts, block: Int) throws {
        let run = MixtureRun(
            plan: plan, block: block, pass: try batches.pass(experts.mixture, plan.blocks[block].block, world: world),
            tools: ExpertTools(
                solver: alone.solver, hessian: alone.hessian, weights: alone.weights, committed: committed, clock: clock, runsCompressed: true),
            mostKept: memory.expertTokens, isWorkAfter: true)
        progress?.did(.routing, work: routingWork(block))
        try run.runSolved(experts.owned, experts.own)
        try world.together(exitCode: exitCode) { try batches.finishBlock() }
        progress?.did(.passingExperts, work: passingExpertsWork(block))
    }

    /// What was measured on experts that are all committed, where no tokens need to pass them. Collective.
    private func readExperts(_ mixture: Mixture, block: Int) throws -> SolvedExperts {
        let plan = plan.blocks[block]
        let owned = Assignment(ranks: world.size).experts(costs: Array(repeating: 1, count: mixture.experts))
        var measures: [Int: [TileMeasure]] = [:]
        for round in MixturePass.rounds(owned) {
            let result = try world.together(exitCode: exitCode) { () throws -> MixtureRun.Result in
                var result = MixtureRun.Result()
                for place in round[world.rank].map(mixture.stages) ?? 0..<0 {
                    result.solved[place] = try alone.solver.solve(
                        plan.stages[place], block: block, index: place, factors: [:], tilesAtOnce: nil, committed: committed, needed: [])
                }
                return result
            }
            measures.merge(try share(result, round, mixture, block: block)) { _, new in new }
        }
        let stages = (mixture.firstStage..<plan.stages.count).map { SolvedStage(measures: measures[$0] ?? []) }
        return SolvedExperts(mixture: mixture, owned: owned, own: [:], stages: stages)
    }

    /// How tokens fell to the experts of each block.
    func mixtureReports() -> [MixtureReport] { plan.blocks.indices.compactMap(mixtureReport) }

    /// The same of one block; nil where it has no experts, or nothing is known of them.
    func mixtureReport(of index: Int) -> MixtureReport? {
        let block = plan.blocks[index]
        guard let mixture = block.block.mixture else { return nil }
        let found = (0..<mixture.experts).map { findings[index][mixture.stages(of: $0).lowerBound] }
        guard found.contains(where: { $0 != nil }) else { return nil }
        return MixtureReport(
            block: block.block.name, routed: found.map { $0?.routedTokens ?? 0 }, summed: found.map { $0?.tokens ?? 0 },
            minimum: plan.minimumTokens(ofExpertsIn: block), balance: balances[index])
    }

    /// Tells all ranks what each found of its expert, and holds it to the recipe's limits. Collective.
    ///
    /// - Returns: what was measured on the tiles of the round's stages.
    private func share(_ result: MixtureRun.Result, _ round: [Int?], _ mixture: Mixture, block: Int) throws -> [Int: [TileMeasure]] {
        let places = round.compactMap { $0 }.flatMap(mixture.stages)
        let stages = plan.blocks[block].stages
        // Each number stands alone in its place, so the sum gathers them.
        var numbers = places.flatMap { place in
            result.solved[place]?.measures.flatMap(\.numbers) ?? Array(repeating: 0, count: stages[place].tiles.count * TileMeasure.numberCount)
        }
        try world.allReduceSum(&numbers)
        let found = try world.gather([UInt8](JSONEncoder().encode(result.facts)))
        let all = try world.fromCoordinator(exitCode: exitCode) {
            try found.map { try JSONDecoder().decode([Int: StageFacts].self, from: Data($0)) }
        }
        for (place, facts) in all.flatMap({ $0 }).sorted(by: { $0.key < $1.key }) { note(facts, stages[place], block: block, index: place) }
        try findings.check()
        var measures: [Int: [TileMeasure]] = [:]
        var start = 0
        for place in places {
            let stage = stages[place], end = start + stage.tiles.count * TileMeasure.numberCount
            let own = stride(from: start, to: end, by: TileMeasure.numberCount).map { TileMeasure(numbers: numbers[$0..<$0 + TileMeasure.numberCount]) }
            start = end
            measures[place] = own
            try SolvedStage(measures: own).checkScales(stage, limit: plan.recipe.limits.clampedScales)
            let reused = stage.tiles.indices.count { committed.contains(TileKey(block: block, stage: place, tile: $0)) }
            count(stage, block: block, index: place, reused: reused)
        }
        return measures
    }
}

extension TileMeasure {
    static let numberCount = 6

    /// What is not there is 0, and counts are one more.
    fileprivate var numbers: [Double] {
        [loss, sampled.loss, sampled.energy] + [zeroCount, clampedScales, entries].map { $0.map { Double($0 + 1) } ?? 0 }
    }

    fileprivate init(numbers: ArraySlice<Double>) {
        let values = Array(numbers), counts: [Int?] = values[3...].map { $0 > 0 ? Int($0) - 1 : nil }
        self.init(loss: values[0], sampled: (values[1], values[2]), zeroCount: counts[0], clampedScales: counts[1], entries: counts[2])
    }
}
