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
            let passes = isWork(after: index, block.stages.count - 1)
            work[.routing, default: 0] += routingWork(index) * (passes && runsTwice(index) ? 2 : 1)
            work[.solvingExperts, default: 0] += solvingExpertsWork(index)
            if passes { work[.passingExperts, default: 0] += passingExpertsWork(index) }
        }
        return work
    }

    /// The work of the tiles of a stage that no earlier attempt has committed.
    func solvingWork(_ block: Int, _ place: Int) -> Double {
        let stage = plan.blocks[block].stages[place]
        return plan.solvingWork(of: stage, tiles: stage.tiles.indices.filter { !committed.contains(TileKey(block: block, stage: place, tile: $0)) })
    }

    /// Models through which the batches go.
    private var models: Double { dense == nil ? 1 : 2 }

    /// The work of `advance`.
    func passingWork(_ stage: StagePlan) -> Double { plan.passingWork(of: stage) * models }

    /// The work of finding the experts of all tokens of a block.
    func routingWork(_ block: Int) -> Double { plan.routingWork(of: plan.blocks[block]) * models }

    /// The work of solving all experts of a block.
    func solvingExpertsWork(_ block: Int) -> Double { expertPlaces(block).reduce(0) { $0 + solvingWork(block, $1) } }

    /// The work of the way of all tokens through the experts of a block.
    func passingExpertsWork(_ block: Int) -> Double { expertPlaces(block).reduce(0) { $0 + passingWork(plan.blocks[block].stages[$1]) } }

    private func expertPlaces(_ block: Int) -> Range<Int> { plan.blocks[block].block.denseStages.count..<plan.blocks[block].stages.count }
}
