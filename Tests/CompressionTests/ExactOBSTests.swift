// ExactOBS against its definition in doubles, and beside SparseGPT on a slice of a real layer.

import Compression
import LinearAlgebra
import Testing

@Suite struct ExactOBSTests {
    static let sparsities: [Sparsity] = [.pattern(pruned: 2, of: 4), .pattern(pruned: 5, of: 8), .share(0.5), .share(0.8)]
    /// With the columns of a block that a share prunes as one.
    static let cases: [(Sparsity, Int)] = sparsities.map { ($0, 1) } + [(.share(0.5), 4), (.share(0.75), 2), (.share(0.3), 8)]

    private static func tile(
        _ weights: Matrix<Float>, _ hessian: Matrix<Double>, _ sparsity: Sparsity, block: Int = 1, _ content: TileContent = .values(.f32)
    ) throws -> ExactOBSTile {
        let factor = try factor(hessian: hessian, dampingFraction: 0.01, actOrder: false)
        return try ExactOBSTile(
            weights: weights, factor: factor, inverse: InverseHessian(factor),
            pruning: PruningOptions(sparsity: sparsity, scope: .layer, blockColumns: block), content: content)
    }

    /// What the definition makes of some rows.
    private struct Expected {
        var weights: [[Double]]
        var loss: [Double]
        /// How near two scores that were compared came to each other.
        var closest: [Double]

        init(_ weights: Matrix<Float>, _ hessian: [[Double]], _ sparsity: Sparsity, block: Int) {
            let columns = weights.columns
            let rows = (0..<weights.rows).map { row in OBSReference((0..<columns).map { Double(weights[row, $0]) }, hessian: hessian) }
            func result(_ row: Int, _ count: Int, isFree: (OBSReference, Int) -> Bool = { _, _ in true }) -> (OBSReference, [Double]) {
                var (reference, scores) = (rows[row], [Double]())
                for _ in 0..<count {
                    let now = reference
                    guard let score = block == 1 ? reference.step(isFree: { isFree(now, $0) })?.score : reference.stepOfBlock(width: block) else { break }
                    scores.append(score)
                }
                return (reference, scores)
            }
            var found: [OBSReference]
            var threshold: Double?
            switch sparsity {
            case .pattern(let pruned, let of):
                found = rows.indices.map { row in
                    result(row, columns) { now, column in now.values.keys.count { $0 / of == column / of } < pruned }.0
                }
            case .share(let share):
                let traces = rows.indices.map { result($0, columns / block).1 }
                let sorted = traces.flatMap { $0 }.sorted()
                threshold = sorted[Int(Double(sorted.count) * share)]
                found = traces.indices.map { row in result(row, traces[row].count { $0 <= threshold ?? 0 }).0 }
                closest = traces.enumerated().map { row, trace in
                    let apart = trace.map { abs($0 / (threshold ?? 1) - 1) }.filter { $0 > 0 }.min() ?? 1
                    return min(apart, found[row].closest)
                }
                self.weights = found.map(\.current)
                loss = found.map(\.loss)
                return
            }
            self.weights = found.map(\.current)
            (loss, closest) = (found.map(\.loss), found.map(\.closest))
        }
    }

    /// The first columns of a slice of a trained model's layer.
    @Test(arguments: cases)
    func masksWeightsAndLossAreThoseOfTheDefinition(sparsity: Sparsity, block: Int) throws {
        let (fixture, columns) = (PruningFixture.shared, 72)
        let weights = fixture.weights.columns(0..<columns).copy(), hessian = fixture.hessian.rows(0..<columns).columns(0..<columns).copy()
        let tile = try Self.tile(weights, hessian, sparsity, block: block).solve().tile
        let expected = Expected(weights, damped(hessian, fraction: 0.01), sparsity, block: block)
        let found = tile.weights(weights.rows, columns)
        let decided = expected.closest.indices.filter { expected.closest[$0] > 1e-5 }
        #expect(decided.count >= weights.rows * 9 / 10, "\(decided.count)")
        for row in decided {
            let weights: [Float] = Array(found[row * columns..<(row + 1) * columns])
            let references: [Float] = expected.weights[row].map { Float($0) }
            let largest: Float = weights.map(\.magnitude).max() ?? 0
            #expect(weights.map { $0 == 0 } == references.map { $0 == 0 }, "row \(row)")
            for (weight, reference) in zip(weights, references) { #expect(abs(weight - reference) <= 1e-4 * largest) }
            let (loss, reference) = (tile.loss[row], expected.loss[row])
            #expect(abs(loss - reference) <= 1e-4 * reference, "row \(row)")
        }
        let loss = tile.loss.reduce(0, +), bound = expected.loss.reduce(0, +)
        #expect(abs(loss - bound) < 1e-3 * bound, "\(loss / bound)")
    }

    /// On a slice of a trained model's layer: less loss than SparseGPT leaves of the same Hessian.
    @Test(arguments: sparsities, [ScaleType.f32, .bf16])
    func lessLossThanSparseGPT(sparsity: Sparsity, type: ScaleType) throws {
        let fixture = PruningFixture.shared
        let tile = try Self.tile(fixture.weights, fixture.hessian, sparsity, .values(type)).solve().tile
        let factor = try factor(hessian: fixture.hessian, dampingFraction: 0.01, actOrder: false)
        let published = try SparseGPTTile(
            weights: fixture.weights, factor: factor, pruning: PruningOptions(sparsity: sparsity, scope: .blocks(of: 128)), content: .values(type)
        ).solve().tile
        let ratio = tile.loss.reduce(0, +) / published.loss.reduce(0, +)
        #expect(ratio < 0.9, "\(ratio)")
    }

    /// A tile by itself has the layer's weights once the threshold is known, with any number of threads.
    @Test(arguments: cases)
    func rowsAreIndependentOfEachOther(sparsity: Sparsity, block: Int) throws {
        let layer = Layer(rows: 64, columns: 160, dead: [5, 100])
        let whole = try Self.tile(layer.weights, layer.hessian, sparsity, block: block).solve()
        let before = Threads.count
        defer { Threads.count = before }
        Threads.count = 3
        for rows in [0..<64, 0..<32, 32..<64] {
            let tile = try Self.tile(layer.weights.rows(rows), layer.hessian, sparsity, block: block).solve(thresholds: whole.thresholds).tile
            #expect(tile.weights(rows.count, 160) == Array(whole.tile.weights(64, 160)[rows.lowerBound * 160..<rows.upperBound * 160]))
            for (loss, expected) in zip(tile.loss, whole.tile.loss[rows]) { #expect(abs(loss - expected) <= 1e-5 * expected) }
        }
        let weights = whole.tile.weights(64, 160), zeros = weights.count { $0 == 0 }
        switch sparsity {
        case .pattern(let pruned, let of): #expect(zeros == 64 * 160 * pruned / of)
        case .share(let share): #expect(zeros == (Int(64 * 160 * share) / block + 1) * block)
        }
        #expect(stride(from: 0, to: weights.count, by: block).allSatisfy { start in Set(weights[start..<start + block].map { $0 == 0 }).count == 1 })
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let layer = Layer(rows: 4, columns: 60)
        func error(_ sparsity: Sparsity, block: Int = 1, _ content: TileContent) -> CompressionError? {
            #expect(throws: CompressionError.self) { try Self.tile(layer.weights, layer.hessian, sparsity, block: block, content) }
        }
        #expect(error(.pattern(pruned: 4, of: 8), .values(.f32))?.description.contains("does not fit 60 columns") == true)
        #expect(error(.share(0.5), block: 8, .values(.f32))?.description.contains("blocks of 8 columns do not fit 60 columns") == true)
        #expect(error(.share(0.5), .codes(QuantizationOptions()))?.description.contains("does not quantize") == true)
        layer.weights[2, 3] = .infinity
        #expect(error(.share(0.5), .values(.f32)) == .weightsNotFinite(row: 2, column: 3))
    }

    /// As of SparseGPT: a neighbour doubles, beyond what f16 can hold.
    @Test func valuesBeyondTheirTypeAreAnError() throws {
        let hessian = Matrix<Double>([1, 0.9999, 0.9999, 1], 2, 2)
        let factor = try factor(hessian: hessian, dampingFraction: 1e-6, actOrder: false)
        let tile = try ExactOBSTile(
            weights: Matrix([40000, 60000], 1, 2), factor: factor, inverse: InverseHessian(factor),
            pruning: PruningOptions(sparsity: .pattern(pruned: 1, of: 2), scope: .layer), content: .values(.f16))
        #expect(throws: CompressionError.valueOutOfRange(row: 0, column: 1, .f16)) { try tile.finish(measuringEnergy: false) }
    }
}
