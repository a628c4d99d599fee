// The weights with which a stage runs forward.

internal import Failures
internal import LinearAlgebra
package import MessagePassing
package import Models
package import Packing
internal import Recipes
package import Reporting
package import Sharding
package import Transformers

/// Loads weights for the forward pass. Every method is collective.
package struct StageWeights {
    let model: Model
    package let forward: Forward
    let world: Communicator
    let clock: PhaseClock
    /// What its time counts as; nil inside a phase.
    let phase: Phase?

    package init(model: Model, forward: Forward, world: Communicator, clock: PhaseClock, phase: Phase?) {
        (self.model, self.forward, self.world, self.clock, self.phase) = (model, forward, world, clock, phase)
    }

    /// Rows of a linear that one rank reads and sends at a time.
    private static let rowsAtOnce = 1024

    /// The weights of some pieces of a stage: of each piece those of its parts.
    ///
    /// - Parameters:
    ///   - tiles: what the compressed linears are decoded from: the tiles of the stage by their index, those of other pieces may be missing; nil: all weights
    ///     as the checkpoint has them.
    ///   - pieces: those of this rank; none where it has no batches.
    package func load(_ plan: StagePlan, tiles: [Int: EncodedTile]?, pieces: [Piece]) throws -> [[LinearWeights]] {
        // By linear, and the rows of a part.
        let weights = try plan.linears.indices.map { index -> [Range<Int>: LinearWeights] in
            let linear = plan.linears[index].linear
            let parts = pieces.flatMap(\.parts).filter { $0.linear == index }.map(\.rows)
            let own = tiles == nil ? 0..<0 : plan.tiles(of: index)
            let loaded: [LinearWeights]
            if let tiles, !own.isEmpty {
                let (bias, compute) = (try bias(of: linear, isNeeded: !parts.isEmpty), forward.compute)
                let encoded = own.compactMap { tile in tiles[tile].map { ($0, plan.tiles[tile].rows) } }
                // Part by part, the plain weights are few, and still in cache when they are packed.
                loaded = try measured {
                    parallelMap(parts.count) { part in
                        var rows = LinearRows([parts[part]], columns: linear.columns, compute: compute)
                        rows.decode(encoded)
                        rows.bias = bias
                        return rows.weights(parts[part]).packed()
                    }
                }
            } else {
                var rows = LinearRows(parts, columns: linear.columns, compute: forward.compute)
                try read(linear, into: rows)
                rows.bias = try bias(of: linear, isNeeded: !parts.isEmpty)
                let plain = parts.map(rows.weights)
                loaded = try measured { parallelMap(parts.count) { plain[$0].packed() } }
            }
            return Dictionary(uniqueKeysWithValues: zip(parts, loaded))
        }
        return pieces.map { piece in piece.parts.map { part in weights[part.linear][part.rows]! } }
    }

    /// The weights of a linear as the checkpoint has them; nil on a rank that does not need them.
    package func load(_ linear: Linear, isNeeded: Bool) throws -> LinearWeights? {
        var rows = LinearRows(isNeeded ? [0..<linear.rows] : [], columns: linear.columns, compute: forward.compute)
        try read(linear, into: rows)
        rows.bias = try bias(of: linear, isNeeded: isNeeded)
        return isNeeded ? rows.weights(0..<linear.rows) : nil
    }

    /// Reads rows of a weight as the checkpoint has them.
    private func read(_ linear: Linear, into rows: LinearRows) throws {
        guard model.reading == .broadcast, world.size > 1 else {
            _ = try together(true) { try forward.loadRows(linear, rows.runs) }
            return
        }
        for (piece, start) in stride(from: 0, to: linear.rows, by: Self.rowsAtOnce).enumerated() {
            let (reader, range) = (piece % world.size, start..<min(start + Self.rowsAtOnce, linear.rows))
            let window = rows.window(range)
            let weight = window ?? Operand(uninitialized: forward.compute, range.count, linear.columns)
            _ = try together(world.rank == reader) { try forward.loadRows(linear, [(range, weight)]) }
            try measured { try weight.withBytes { try world.broadcast($0, from: reader) } }
            if window == nil {
                for (within, place) in rows.overlaps(range) { place.assign(weight.rows(within)) }
            }
        }
    }

    private func bias(of linear: Linear, isNeeded: Bool) throws -> [Float]? {
        try together(isNeeded) { try forward.bias(of: linear) } ?? nil
    }

    private func together<Value>(_ isNeeded: Bool, _ body: () throws -> Value) throws -> Value? {
        try world.together(exitCode: exitCode) { try measured { isNeeded ? try body() : nil } }
    }

    private func measured<Value>(_ body: () throws -> Value) throws -> Value {
        try phase.map { try clock.measure($0, body) } ?? body()
    }
}
