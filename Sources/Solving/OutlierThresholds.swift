// From which error on the weights of a whole linear are outliers.

internal import Compression
internal import Failures
internal import LinearAlgebra
internal import MessagePassing
internal import Models
internal import Recipes
internal import Reporting
internal import Sharding
internal import Transformers

extension StageSolver {
    /// Of each linear of a stage that is solved by SpQR, the threshold that follows from the variance of its columns over all rows; infinite for others. Collective
    /// where any is. Each rank reads the rows of its own tiles, committed ones too, and sums are added in the order of tiles, so that every attempt finds the same.
    ///
    /// - Parameter owners: of the stage's tiles.
    func outlierThresholds(_ stage: StagePlan, owners: [Int], factors: [FactorSettings: FactorOutcome]) throws -> [Double] {
        try stage.linears.indices.map { linear in
            guard let treatment = stage.linears[linear].treatment, let share = treatment.outlierThreshold,
                case .factor(let factor)? = factors[FactorSettings(treatment)]
            else { return .infinity }
            let sums = try columnSums(stage, linear, owners)
            return SpQR.threshold(share, sums: sums, rows: stage.linears[linear].linear.rows, factor: factor.outline)
        }
    }

    /// The sums of a linear's weights over all rows, and of their squares: [2, columns]
    private func columnSums(_ stage: StagePlan, _ linear: Int, _ owners: [Int]) throws -> Matrix<Double> {
        let tiles = Array(stage.tiles(of: linear)), columns = stage.columns, size = 2 * columns
        let own = tiles.indices.filter { owners[tiles[$0]] == world.rank }
        let (model, plan) = (model, stage.linears[linear].linear)
        let found = try world.together(exitCode: exitCode) {
            try clock.measure(.solve) { () throws in
                try parallelMap(own.count) { sums(of: try model.weightRows(plan, stage.tiles[tiles[own[$0]]].rows)) }
            }
        }
        // Of each tile by itself: adding the zeros of other ranks does not round.
        var all = [Double](repeating: 0, count: tiles.count * size)
        for (place, sums) in zip(own, found) { all.replaceSubrange(place * size..<(place + 1) * size, with: sums.elements()) }
        try world.allReduceSum(&all)
        let result = Matrix<Double>(repeating: 0, 2, columns)
        for tile in tiles.indices { for index in 0..<size { result.base[index] += all[tile * size + index] } }
        return result
    }
}

/// - Parameter weights: [rows, columns]
/// - Returns: [2, columns]
private func sums(of weights: Matrix<Float>) -> Matrix<Double> {
    let result = Matrix<Double>(repeating: 0, 2, weights.columns)
    for row in 0..<weights.rows {
        let (values, sums, squares) = (weights.row(row), result.row(0), result.row(1))
        for column in 0..<weights.columns {
            let value = Double(values[column])
            sums[column] += value
            squares[column] += value * value
        }
    }
    return result
}
