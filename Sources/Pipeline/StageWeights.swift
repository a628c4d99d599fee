// The weights with which a stage runs forward.

internal import LinearAlgebra
internal import Packing
internal import Sharding
internal import Transformers

extension Model {
    /// Some rows of a linear's weight: [rows.count, columns]
    func weightRows(_ linear: Linear, _ rows: Range<Int>) throws -> Matrix<Float> {
        switch linear.layout {
        case .rowsByColumns: try parameters.matrix(linear.weight, rows: rows)
        // Conv1D stores [columns, rows]; such models are small.
        case .columnsByRows: try parameters.matrix(linear.weight).columns(rows).transposed()
        }
    }

}

extension Forward {
    /// The weights of a stage as the checkpoint has them.
    func weights(_ stage: Stage) throws -> [LinearWeights] {
        try stage.linears.map(loadWeights)
    }

    /// The weights of a stage with its compressed linears dequantized from their tiles.
    ///
    /// - Parameter tiles: the encoded tiles of the stage, in the plan's order.
    func weights(_ plan: StagePlan, tiles: [EncodedTile]) throws -> [LinearWeights] {
        try plan.linears.indices.map { index in
            let linear = plan.linears[index].linear
            let own = plan.tiles.indices.filter { plan.tiles[$0].linear == index }
            guard !own.isEmpty else { return try loadWeights(linear) }
            let weight = Matrix<Float>(uninitialized: linear.rows, linear.columns)
            parallelFor(own.count) { position in
                let tile = own[position]
                tiles[tile].dequantize(into: weight.rows(plan.tiles[tile].rows))
            }
            return LinearWeights(weight: Operand(weight, compute: compute), bias: try bias(of: linear))
        }
    }
}
