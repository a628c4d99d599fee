// The seconds of a mixture's experts: each rank works on some of them, one after the other, and tokens travel.

internal import LinearAlgebra
internal import Recipes
internal import Transformers

/// How the experts of a block share a number of ranks.
struct ExpertShares {
    /// Experts that the busiest rank works on.
    let most: Int
    /// Tokens of an expert that the busiest rank has, as a multiple of the mean. Greedy packing evens out what differs between experts as long as a rank has
    /// several; one that has a single expert has the one with the most.
    let imbalance: Double

    init(experts: Int, ranks: Int) {
        most = (experts + ranks - 1) / ranks
        imbalance = 1 + min(Double(ranks) / Double(experts), 1)
    }
}

extension Workload {
    /// Adds the time of all experts' stages of one kind.
    ///
    /// - Parameters:
    ///   - group: stages, one of each expert of some blocks.
    ///   - experts: of a block.
    func addExperts(_ group: StageGroup, experts: Int, to prediction: inout Prediction) {
        let stage = group.stage, columns = Double(stage.columns)
        let shares = ExpertShares(experts: experts, ranks: ranks)
        let blocks = Double(group.count) / Double(experts)
        let count = blocks * Double(shares.most)
        if plan.calibrationTokens > 0 {
            let tokens = Double(plan.calibrationTokens) * stage.stage.tokenShare * shares.imbalance
            let inputs = plan.blocks[group.place.block].denseInputs(ofExpertStage: group.place.stage)
            let (passes, visits) = (plan.forwardPasses + inputs.passes, plan.forwardPasses + inputs.visits)
            let operations = 2 * stage.weightCount * tokens, rows = stage.weightCount / columns
            prediction.forward += count * passes * times.product(operations, rows: rows, columns: columns)
            prediction.forward += count * passes * tokens * (columns + rows) / rates.elements
            prediction.read += count * plan.forwardPasses * stage.weightCount / rates.dequantize
            // A step that an expert's last tokens fill in part has messages of one direction where others are of both.
            let steps = tokens / shares.imbalance / Double(Plan.expertStepTokens)
            let bytes = exchangedBytes(stage, experts: experts) * (steps > 1 ? (steps + 1) / steps : 1)
            prediction.exchange += blocks * visits * messages.exchange(bytes: bytes, steps: shares.most * max(Int(steps.rounded(.up)), 1))
            // Inputs are also copied to those of their expert.
            if stage.stage.input.isDerived { prediction.exchange += count * visits * tokens * columns / rates.elements }
            if stage.needsHessian {
                prediction.hessian += count * times.gram(tokens * columns * columns, columns: columns)
                let factor = FactorSchedule(columns: stage.columns, ranks: 1, threads: threads)
                prediction.factor += count * Double(stage.factorCount) * factor.seconds(perOperation: times.factor(1, columns: columns)) { _ in 0 }
                // Put in the factor's order, and from there into its panels, by the expert's own rank.
                prediction.reduce += count * Double(stage.factorCount) * 2 * 4 * columns * columns / rates.permute
                prediction.factor += count * stage.inverseOperations / rates.factorFloat
            }
            for mismatch in stage.mismatches { add(mismatch, ofExpert: stage, tokens: tokens, count: count, to: &prediction) }
        }
        guard !stage.tiles.isEmpty else { return }
        if stage.needsHessian { prediction.solve += count * solveSeconds(stage, stage.tiles) }
        let rows = Double(stage.tiles.reduce(0) { $0 + $1.rows.count }), workers = min(ranks, experts)
        prediction.solve += blocks * Double(experts) * 2 * columns * rows / disk.read(ranks: workers)
        prediction.commit += blocks * Double(experts) * stage.encodedBytes / disk.write(ranks: workers)
    }

    /// Bytes that a rank has for all ranks, itself included, in a stage: the inputs of its tokens to their experts, or as owner the outputs back.
    private func exchangedBytes(_ stage: StagePlan, experts: Int) -> Double {
        plan.exchangedBytes(stage, experts: experts) / Double(ranks)
    }
}

extension Plan {
    /// Sequences of the calibration.
    var calibrationSequences: Int { batches.reduce(0) { $0 + $1.count } }

    /// Tokens of the calibration.
    var calibrationTokens: Int { calibrationSequences * (recipe.calibration?.length ?? 0) }

    /// Bytes that all ranks together exchange for the experts' stages of one kind in a block.
    func exchangedBytes(_ stage: StagePlan, experts: Int) -> Double {
        let tokens = Double(calibrationTokens) * stage.stage.tokenShare * Double(experts)
        let isFirst = stage.stage.input.isDerived
        return tokens * Double(isFirst ? stage.columns * operands(recipe.compute).byteCount : 4 * (stage.linears.first?.linear.rows ?? 0))
    }
}
