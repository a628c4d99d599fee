// The batches of a run on their way through a block: a stage at a time, and a second time where the block was first run with dense weights.

internal import Calibration
internal import Checkpoints
internal import Failures
internal import MessagePassing
internal import Packing
internal import Reporting
internal import Sharding
internal import Solving
internal import Transformers

extension CompressionRun {
    /// Takes the batches through a block once more, with its compressed weights: for the blocks behind it, or as far as there are keys and values to measure.
    func runAgain(_ index: Int, _ solved: [SolvedStage], _ experts: SolvedExperts?) throws {
        let block = plan.blocks[index], count = stagesPassedAgain(index)
        guard count > 0 else { return }
        try world.together(exitCode: exitCode) { try batches.rewind() }
        for (place, result) in solved.prefix(count).enumerated() {
            try advance(
                block.stages[place], result.tiles, endsBlock: experts == nil && place == block.stages.count - 1, measuring: attention(index, place))
        }
        if isWork(after: index, block.stages.count - 1), let experts { try runSolved(experts, block: index) }
    }

    /// How many stages of a block that runs twice the batches pass once more.
    func stagesPassedAgain(_ index: Int) -> Int {
        let block = plan.blocks[index]
        return isWork(after: index, block.stages.count - 1) ? block.block.denseStages.count : unmeasuredAttention(index).map { $0.stage + 1 } ?? 0
    }

    /// Takes every batch through a stage, with its compressed weights when `tiles` are given.
    func advance(_ stage: StagePlan, _ tiles: [Int: EncodedTile]?, endsBlock: Bool, measuring attention: CachedAttention?) throws {
        if let dense { try advance(dense, stage, nil, endsBlock: endsBlock) }
        let seen = attention.map { CacheMagnitudes(heads: $0.heads) }
        try advance(batches, stage, tiles, endsBlock: endsBlock, cache: seen)
        if let attention, let seen { try note(attention, seen) }
        progress?.did(.passing(stage: stage.stage.name), work: passingWork(stage))
    }

    private func advance(
        _ batches: CalibrationBatches, _ stage: StagePlan, _ tiles: [Int: EncodedTile]?, endsBlock: Bool, cache: CacheMagnitudes? = nil
    ) throws {
        let weights = try stageWeights.load(stage, tiles: tiles, pieces: batches.pieces(stage.stage))
        let failure = try batches.advance(stage.stage, weights: weights, endsBlock: endsBlock, cache: cache)
        try world.together(exitCode: exitCode) { () throws in if let failure { throw failure } }
    }
}
