// What it costs to give linears the dense model's outputs: the sums of mismatches, the maps to them, and the weights that they shift.

internal import Compression
internal import LinearAlgebra
internal import Transformers

extension Mismatch {
    /// Multiplications and additions of solving the factors' maps, on the rank that has the most rows of them.
    func mapOperations(_ stage: StagePlan, ranks: Int) -> Double {
        let rows = columns(of: stage.stage), panels = choleskyPanels(order: rows).count
        let own = min((panels + ranks - 1) / ranks * choleskyTileSize, rows)
        return Double(stage.factorCount) * MismatchRows.operations(rows: own, columns: stage.columns)
    }

    /// Multiplications and additions of shifting the weights of the rank that has the most.
    func shiftOperations(_ stage: StagePlan, ranks: Int) -> Double {
        let rows = stage.ownTiles(ranks: ranks).map { $0.reduce(0) { $0 + $1.rows.count } }.max() ?? 0
        return shiftOperations(rows: rows, columns: stage.columns)
    }
}

extension BlockPlan {
    /// What tokens of an expert's sums take more than their way through the expert in either model, where its stages make up for what their inputs lack: their inputs
    /// in the dense model come to the owner, whose dense first stage makes the second's of them.
    ///
    /// - Parameter place: of a stage of an expert.
    /// - Returns: visits with inputs and passes, both of the first stage; none of the second.
    func denseInputs(ofExpertStage place: Int) -> (visits: Double, passes: Double) {
        guard let expert = block.expert(ofStage: place), let both = block.mixture?.stages(of: expert), place == both.lowerBound else { return (0, 0) }
        return (stages[both].contains(where: \.needsDenseInput) ? 1 : 0, stages[both.upperBound - 1].needsDenseInput ? 1 : 0)
    }
}

extension Costs {
    /// Of an expert's stage, all by its owner.
    ///
    /// - Parameters:
    ///   - tokens: of the expert's sums.
    ///   - count: of experts.
    mutating func add(_ mismatch: Mismatch, ofExpert stage: StagePlan, tokens: Double, count: Double) {
        hessianOperations += count * 2 * tokens * Double(mismatch.columns(of: stage.stage)) * Double(stage.columns)
        factorOperations += count * mismatch.mapOperations(stage, ranks: 1)
        solveOperations += count * mismatch.shiftOperations(stage, ranks: 1)
    }

    /// - Returns: bytes that each rank sends.
    mutating func add(_ mismatch: Mismatch, _ stage: StagePlan, _ sharing: GroupShares, _ shape: HostShape) -> [Double] {
        let rows = mismatch.columns(of: stage.stage), elements = Double(rows) * Double(stage.columns)
        hessianOperations += 2 * sharing.hessianTokens * elements
        factorOperations += mismatch.mapOperations(stage, ranks: ranks)
        solveOperations += mismatch.shiftOperations(stage, ranks: ranks)
        // Inputs and differences, where a group shares them; sums in fp64 to the owners of panels; their rows of the maps in fp32 to all.
        let squares = 8 * Double(rows), copies = 4 * Double(stage.factorCount)
        bytesBetweenHosts += 8 * elements * Double(shape.hosts - 1) + Double(ranks) * squares + copies * elements
        var sent = zip(sharing.operandBytesSent(columns: stage.columns), sharing.operandBytesSent(columns: rows)).map { $0 + $1 + squares }
        let assignment = Assignment(ranks: ranks, ranksOfHost: shape.most)
        // Where there are fewer panels than ranks, some ranks send far more than others.
        for (index, panel) in choleskyPanels(order: rows).enumerated() {
            let owner = assignment.panelOwner(index), elements = Double(panel.count) * Double(stage.columns)
            for host in 0..<shape.hosts {
                let carrier = shape.carrier(of: owner, on: host)
                sent[carrier] += (carrier == owner ? 0 : 8 * elements) + (shape.ranks(of: host).count > 1 ? copies * elements : 0)
            }
            if shape.hosts > 1 { sent[owner] += copies * elements }
        }
        return sent
    }
}

extension Workload {
    /// Of an expert's stage, all by its owner.
    ///
    /// - Parameters:
    ///   - tokens: of the expert's sums.
    ///   - count: of experts, one after the other.
    func add(_ mismatch: Mismatch, ofExpert stage: StagePlan, tokens: Double, count: Double, to prediction: inout Prediction) {
        let rows = Double(mismatch.columns(of: stage.stage)), columns = Double(stage.columns)
        prediction.hessian += count * times.gram(2 * tokens * rows * columns, columns: columns)
        prediction.factor += count * mismatch.mapOperations(stage, ranks: 1) / rates.productFloat
        prediction.solve += count * mismatch.shiftOperations(stage, ranks: 1) / rates.productFloat
    }

    func add(_ mismatch: Mismatch, _ stage: StagePlan, _ residency: StageResidency, count: Double, to prediction: inout Prediction) {
        let rows = mismatch.columns(of: stage.stage), columns = Double(stage.columns), factors = Double(stage.factorCount)
        let panels = choleskyPanels(order: rows)
        let visits = residency.mismatchPanels.map { (panels.count + $0 - 1) / $0 } ?? 1
        prediction.hessian += count * times.gram(2 * sharing.hessianTokens * Double(rows) * columns, columns: columns)
        let operands = [stage.columns, rows].reduce(0) { $0 + groupMessages.broadcast(bytes: sharing.operands(columns: $1)) }
        prediction.hessian += count * Double(visits) * operands
        var seconds = 2 * messages.latency
        for panel in panels {
            let elements = Double(panel.count) * columns
            seconds += messages.reduce(bytes: 8 * elements) + factors * messages.broadcast(bytes: 4 * elements)
        }
        if !residency.completeFactor {
            // R again, from the last panel to the first and back.
            for panel in choleskyPanels(order: stage.columns) {
                seconds += factors * 2 * messages.broadcast(bytes: 2 * Double(panel.count) * columns)
            }
        }
        prediction.reduce += count * seconds
        prediction.factor += count * mismatch.mapOperations(stage, ranks: ranks) / rates.productFloat
        prediction.solve += count * mismatch.shiftOperations(stage, ranks: ranks) / rates.productFloat
    }
}
