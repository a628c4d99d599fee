// What it costs to give linears the dense model's outputs: the mismatch of inputs, the maps to it, and the weights that they shift.

internal import LinearAlgebra
internal import Transformers

extension StagePlan {
    /// Rows of a map on the rank that has the most.
    fileprivate func mismatchRows(ranks: Int) -> Double {
        let panels = choleskyPanels(order: columns).count
        return Double(min((panels + ranks - 1) / ranks * choleskyTileSize, columns))
    }

    /// Multiplications and additions of shifting the weights of the rank that has the most.
    fileprivate func shiftOperations(ranks: Int) -> Double {
        let rows = zip(Assignment(ranks: ranks).owners(of: tiles), tiles).reduce(into: [Int: Int]()) { $0[$1.0, default: 0] += $1.1.rows.count }
        return 2 * Double(rows.values.max() ?? 0) * Double(columns) * Double(columns)
    }

    /// Multiplications and additions of two triangular systems for each row of the factors' maps.
    fileprivate func mapOperations(ranks: Int) -> Double {
        2 * Double(factorCount) * mismatchRows(ranks: ranks) * Double(columns) * Double(columns)
    }
}

extension Costs {
    /// - Returns: bytes that each rank sends.
    mutating func addMismatch(_ stage: StagePlan, _ sharing: GroupShares, _ shape: HostShape) -> [Double] {
        let elements = Double(stage.columns) * Double(stage.columns)
        hessianOperations += 2 * sharing.hessianTokens * elements
        factorOperations += stage.mapOperations(ranks: ranks)
        solveOperations += stage.shiftOperations(ranks: ranks)
        // Both models' inputs, where a group shares them; sums in fp64 to the owners of panels; their rows of the maps in fp32 to all.
        let maps = 4 * Double(stage.factorCount) * elements, squares = 8 * Double(stage.columns)
        bytesBetweenHosts += 8 * elements * Double(shape.hosts - 1) + Double(ranks) * squares + maps
        let sums = shape.carried(8 * elements) + squares + shape.copied(maps)
        return sharing.inputBytesSent(stage).map { 2 * $0 + sums }
    }
}

extension Workload {
    func addMismatch(_ stage: StagePlan, _ residency: StageResidency, count: Double, to prediction: inout Prediction) {
        let columns = Double(stage.columns), panels = choleskyPanels(order: stage.columns), factors = Double(stage.factorCount)
        let visits = residency.mismatchPanels.map { (panels.count + $0 - 1) / $0 } ?? 1
        prediction.hessian += count * times.gram(2 * sharing.hessianTokens * columns * columns, columns: columns)
        prediction.hessian += count * Double(2 * visits) * groupMessages.broadcast(bytes: sharing.inputs(stage))
        var seconds = 2 * messages.latency
        for panel in panels {
            let elements = Double(panel.count) * columns
            seconds += messages.reduce(bytes: 8 * elements) + factors * messages.broadcast(bytes: 4 * elements)
            // R again, from the last panel to the first and back.
            if !residency.completeFactor { seconds += factors * 2 * messages.broadcast(bytes: 2 * elements) }
        }
        prediction.reduce += count * seconds
        prediction.factor += count * stage.mapOperations(ranks: ranks) / rates.productFloat
        prediction.solve += count * stage.shiftOperations(ranks: ranks) / rates.productFloat
    }
}
