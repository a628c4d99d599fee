// What a rank holds while it works on the experts of a mixture, one at a time.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

extension Plan {
    /// Tokens of an expert that are moved, multiplied and summed at once. Fixed, and counted from the start of the expert's list, so that shapes and
    /// bits of products follow from the routes alone.
    public static let expertStepTokens = 2048
    /// Solved tiles of experts that a rank holds before they are committed, unless one round makes more.
    public static let expertBytesOfPart = 128 << 20

    /// Tokens of an expert that its owner keeps where memory is not short: several times as many as an expert gets on average. Those of an expert with
    /// more come again for each use.
    func usualExpertTokens(_ mixture: Mixture) -> Int {
        let mean = calibrationTokens * mixture.router.chosen / mixture.experts
        return max(4 * (mean + Self.expertStepTokens - 1) / Self.expertStepTokens, 1) * Self.expertStepTokens
    }
}

extension MemoryModel {
    /// The same rank at work on an expert: it sums, factors and solves by itself, a step of tokens at a time.
    ///
    /// - Parameters:
    ///   - stages: of an expert.
    ///   - tokens: of an expert that are kept.
    func ofExpert(_ mixture: Mixture, _ stages: ArraySlice<StagePlan>, tokens: Int) -> MemoryModel {
        var model = self
        (model.assignment, model.ranksOfHost) = (Assignment(ranks: 1), 1)
        let step = Plan.expertStepTokens
        model.batchTokens = step
        let columns = stages.map(\.columns)
        // Tokens of this rank's batches that a step of all ranks may ask for.
        let asked = min(assignment.ranks * step, rankTokens * mixture.router.chosen)
        let (all, last) = (columns.reduce(0, +), columns.last ?? 0)
        var kept = tokens * all * operand
        var coming = (asked + step) * hidden * operand, returning = (asked + step) * hidden * 4 + step * last * operand
        if stages.contains(where: \.needsDenseInput) {
            // The same of the dense model, and what a step differs by.
            kept *= 2
            coming += step * (2 * hidden + 3 * last) * operand
        }
        // A step's input in the dense model stays until its outputs are back.
        if models > 1 { returning += step * hidden * operand }
        model.besideExperts = kept + max(coming, returning) + models * (expertWeights(stages) + routing(mixture, tokens: rankTokens))
        return model
    }

    /// What rests of the routes of some tokens, of the mixture's input, and of the sums of experts' outputs; where batches rest in a file, all of one batch.
    func routing(_ mixture: Mixture, tokens: Int) -> Int {
        // The list of a batch, and that of its sums where they take more.
        let lists = tokens * mixture.router.chosen * 2 * (MemoryLayout<Int32>.size + MemoryLayout<Float>.size)
        let sums = MemoryLayout<Double>.size + operand
        let weights = mixture.router.weighsInputs ? tokens * mixture.experts * MemoryLayout<Float>.size : 0
        return lists + weights + (keepsActivations ? tokens * hidden * sums : batchTokens * hidden * (sums + 2 * MemoryLayout<Float>.size))
    }

    /// The weights of an expert as it runs forward, and what loading the larger stage takes besides.
    func expertWeights(_ stages: ArraySlice<StagePlan>) -> Int {
        let weights = stages.map { stage in stage.linears.reduce(0) { $0 + $1.linear.rows } * stage.columns * operand }
        return weights.reduce(0, +) + (weights.max() ?? 0)
    }

    /// Running an expert forward: besides its weights, the encoded tiles that they come from.
    func expertForward(_ stages: ArraySlice<StagePlan>) -> Int {
        guard let first = stages.first else { return 0 }
        return resting(first) + stages.reduce(0) { $0 + encoded($1) } + Plan.expertStepTokens * (hidden + first.columns) * 4
    }

    /// Evaluating a mixture: the states of a rank's windows, and an expert with a step of tokens.
    func expertEvaluation(_ block: BlockPlan, tokens: Int, compute: Compute) -> Int {
        guard let mixture = block.block.mixture else { return 0 }
        let stages = block.stages[mixture.stages(of: 0)], step = Plan.expertStepTokens
        // As they are read in fp32, as operands, and packed.
        let weights = stages.map { stage in stage.linears.reduce(0) { $0 + $1.linear.rows } * stage.columns * (2 * compute.byteCount + 4) }.reduce(0, +)
        let asked = min(assignment.ranks * step, tokens * mixture.router.chosen)
        return tokens * hidden * (8 + compute.byteCount) + tokens * mixture.router.chosen * 16 + weights + (asked + 2 * step) * hidden * 8
            + step * (stages.last?.columns ?? 0) * (4 + compute.byteCount)
    }
}
