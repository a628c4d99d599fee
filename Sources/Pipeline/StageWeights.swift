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

    /// The weights of a stage as the checkpoint has them.
    func weights(_ stage: Stage, _ compute: Compute) throws -> [LinearWeights] {
        try stage.linears.map { try loadWeights($0, from: parameters, compute: compute) }
    }

    /// The weights of a stage with its compressed linears dequantized from their tiles.
    ///
    /// - Parameter tiles: the encoded tiles of the stage, in the plan's order.
    func weights(_ plan: StagePlan, tiles: [EncodedTile], _ compute: Compute) throws -> [LinearWeights] {
        try plan.linears.indices.map { index in
            let linear = plan.linears[index].linear
            let own = plan.tiles.indices.filter { plan.tiles[$0].linear == index }
            guard !own.isEmpty else { return try loadWeights(linear, from: parameters, compute: compute) }
            let weight = Matrix<Float>(uninitialized: linear.rows, linear.columns)
            parallelFor(own.count) { position in
                let tile = own[position]
                tiles[tile].dequantize(into: weight.rows(plan.tiles[tile].rows))
            }
            let bias = try linear.bias.map { try parameters.matrix($0).elements() }
            return LinearWeights(weight, bias: bias, compute: compute)
        }
    }
}
