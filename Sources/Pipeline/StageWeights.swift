// The weights with which a stage runs forward.

internal import LinearAlgebra
internal import MessagePassing
internal import Packing
internal import Reporting
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

/// Loads weights for the forward pass. Every method is collective.
struct StageWeights {
    let model: Model
    let forward: Forward
    let world: Communicator
    let clock: PhaseClock
    /// What its time counts as; nil inside a phase.
    let phase: Phase?

    /// Rows of a linear that one rank reads and sends at a time.
    private static let rowsAtOnce = 1024

    /// The weights of a stage's linears.
    ///
    /// - Parameters:
    ///   - tiles: what the compressed linears are decoded from: the encoded tiles of the stage, in the plan's order; nil: all as the checkpoint has them.
    ///   - isNeeded: whether this rank has batches; empty without.
    func load(_ plan: StagePlan, tiles: [EncodedTile]?, isNeeded: Bool) throws -> [LinearWeights] {
        try plan.linears.indices.compactMap { index in
            let own = tiles == nil ? [] : plan.tiles.indices.filter { plan.tiles[$0].linear == index }
            guard let tiles, !own.isEmpty else { return try load(plan.linears[index].linear, isNeeded: isNeeded) }
            return try together(isNeeded) { try decode(plan.linears[index].linear, own.map { (tiles[$0], plan.tiles[$0].rows) }) }
        }
    }

    /// The weights of a linear as the checkpoint has them; nil on a rank that does not need them.
    func load(_ linear: Linear, isNeeded: Bool) throws -> LinearWeights? {
        guard model.broadcasts, world.size > 1 else { return try together(isNeeded) { try forward.loadWeights(linear) } }
        let weight = Operand(uninitialized: forward.compute, linear.rows, linear.columns)
        // One that is stored transposed is read as a whole.
        let height = linear.layout == .rowsByColumns ? Self.rowsAtOnce : linear.rows
        for (piece, start) in stride(from: 0, to: linear.rows, by: height).enumerated() {
            let (reader, rows) = (piece % world.size, start..<min(start + height, linear.rows))
            _ = try together(world.rank == reader) { try read(linear, rows, into: weight.rows(rows)) }
            try measured { try send(weight.rows(rows), from: reader) }
        }
        return try together(isNeeded) { LinearWeights(weight: weight, bias: try forward.bias(of: linear)) }
    }

    private func read(_ linear: Linear, _ rows: Range<Int>, into target: Operand) throws {
        guard linear.layout == .rowsByColumns else { return target.store(try forward.weight(of: linear)) }
        let piece = Matrix<Float>(uninitialized: rows.count, linear.columns)
        try model.parameters.rows(linear.weight, rows.map { Int32($0) }, into: piece)
        target.store(piece)
    }

    private func send(_ piece: Operand, from reader: Int) throws {
        func send<Element>(_ matrix: Matrix<Element>) throws {
            try matrix.withBytes { try world.broadcast($0.bindMemory(to: UInt8.self), from: reader) }
        }
        switch piece {
        case .f32(let matrix): try send(matrix)
        case .bf16(let matrix): try send(matrix)
        }
    }

    /// Decodes tile by tile, so that no fp32 copy of the whole exists where products take bf16.
    private func decode(_ linear: Linear, _ tiles: [(tile: EncodedTile, rows: Range<Int>)]) throws -> LinearWeights {
        let weight = Operand(uninitialized: forward.compute, linear.rows, linear.columns)
        parallelFor(tiles.count) { position in
            let (tile, rows) = tiles[position]
            switch weight {
            case .f32(let weight): tile.dequantize(into: weight.rows(rows))
            case .bf16(let weight):
                let piece = Matrix<Float>(uninitialized: rows.count, linear.columns)
                tile.dequantize(into: piece)
                convert(piece, into: weight.rows(rows))
            }
        }
        return LinearWeights(weight: weight, bias: try forward.bias(of: linear))
    }

    private func together<Value>(_ isNeeded: Bool, _ body: () throws -> Value) throws -> Value? {
        try world.together(exitCode: exitCode) { try measured { isNeeded ? try body() : nil } }
    }

    private func measured<Value>(_ body: () throws -> Value) throws -> Value {
        try phase.map { try clock.measure($0, body) } ?? body()
    }
}
