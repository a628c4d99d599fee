// How much a run has to do, by kinds of work: from it and the time that each kind takes follows the time left.

internal import Checkpoints
internal import Reporting
internal import Sharding
internal import Transformers

extension CompressionRun {
    /// All that is to be done.
    func workLeft() -> [WorkKind: Double] {
        var work: [WorkKind: Double] = [:]
        for (index, block) in plan.blocks.enumerated() {
            let passedAgain = runsTwice(index) ? stagesPassedAgain(index) : 0
            for (place, stage) in block.stages.prefix(block.block.denseStages.count).enumerated() {
                work[.solving(stage: stage.stage.name), default: 0] += solvingWork(index, place)
                let passes = (isWork(after: index, place) ? 1 : 0) + (place < passedAgain ? 1 : 0)
                work[.passing(stage: stage.stage.name), default: 0] += Double(passes) * passingWork(stage)
            }
            guard let mixture = block.block.mixture, isWork(after: index, mixture.firstStage - 1) else { continue }
            work[.routing, default: 0] += plan.routingWork(of: block)
            work[.experts, default: 0] += expertsWork(index)
            if passedAgain > 0, isWork(after: index, block.stages.count - 1) { work[.solvedExperts, default: 0] += solvedExpertsWork(mixture, index) }
        }
        return work.filter { $0.value > 0 }
    }

    /// The work of the tiles of a stage that no earlier attempt has committed.
    func solvingWork(_ block: Int, _ place: Int) -> Double {
        let stage = plan.blocks[block].stages[place]
        let missing = stage.tiles.indices.count { !committed.contains(TileKey(block: block, stage: place, tile: $0)) }
        return missing == 0 ? 0 : plan.solvingWork(of: stage) * Double(missing) / Double(stage.tiles.count)
    }

    /// The work of `advance`.
    func passingWork(_ stage: StagePlan) -> Double { plan.passingWork(of: stage) * (dense == nil ? 1 : 2) }

    /// The work of all experts of a block, and of their tokens' way through them where that is needed.
    func expertsWork(_ block: Int) -> Double {
        let stages = plan.blocks[block].stages, first = plan.blocks[block].block.denseStages.count
        let passes = !runsTwice(block) && isWork(after: block, stages.count - 1)
        return (first..<stages.count).reduce(0) { $0 + solvingWork(block, $1) + (passes ? plan.passingWork(of: stages[$1]) : 0) }
    }

    /// The work of `runSolved`.
    func solvedExpertsWork(_ mixture: Mixture, _ block: Int) -> Double {
        let stages = plan.blocks[block].stages
        return plan.routingWork(of: plan.blocks[block]) + stages[mixture.firstStage...].reduce(0) { $0 + plan.passingWork(of: $1) }
    }
}
