// ADMM against the paper in doubles, and against SparseGPT on a real layer.

import Compression
import LinearAlgebra
import Testing

@Suite struct ADMMTests {
    static let sparsities: [Sparsity] = [.pattern(pruned: 2, of: 4), .pattern(pruned: 4, of: 8), .share(0.5), .share(0.7)]

    /// A Hessian with the damping of the method, and its two factors.
    private struct Factors {
        let factor: Factor
        let penalised: Factor
        /// Damped: [columns, columns], upper triangle.
        let hessian: Matrix<Double>

        init(_ hessian: Matrix<Double>) throws {
            func make(_ penalty: Double) throws -> Factor {
                try Compression.factor(hessian: hessian, dampingFraction: 0.1, actOrder: false, scale: .column, penalty: penalty)
            }
            (factor, penalised) = (try make(0), try make(ADMM.penalty))
            self.hessian = hessian.copy()
            for column in 0..<hessian.columns {
                self.hessian[column, column] = factor.deadColumns.contains(column) ? factor.damping : 1.1 * hessian[column, column]
            }
        }

        func tile(_ weights: Matrix<Float>, _ sparsity: Sparsity, _ content: TileContent = .values(.f32)) throws -> ADMMTile {
            try ADMMTile(
                weights: weights, factor: factor, penalised: penalised,
                pruning: PruningOptions(sparsity: sparsity, scope: .layer, choices: ADMM.steps), content: content)
        }
    }

    @Test(arguments: sparsities)
    func masksWeightsAndLossAreThoseOfThePaper(sparsity: Sparsity) throws {
        let layer = Layer(rows: 20, columns: 96)
        let factors = try Factors(layer.hessian)
        let reference = ADMMReference(layer.weights, hessian: factors.hessian, sparsity: sparsity, steps: ADMM.steps, rho: ADMM.penalty)
        let (tile, thresholds) = try factors.tile(layer.weights, sparsity).solve()
        let found = tile.weights(20, 96)
        if case .share = sparsity { #expect(thresholds.count == ADMM.steps) } else { #expect(thresholds.isEmpty) }
        #expect(zip(found, reference.kept.flatMap { $0 }).count { ($0 != 0) != $1 } == 0)
        let largest = found.map(\.magnitude).max() ?? 0
        for (weight, expected) in zip(found, reference.weights.flatMap { $0 }) { #expect(abs(weight - Float(expected)) < 1e-2 * largest) }
        for (loss, expected) in zip(tile.loss, reference.loss) { #expect(loss > expected * (1 - 1e-4) && loss < expected * 1.002, "\(loss) \(expected)") }
    }

    /// On a slice of a trained model's layer: never more loss than SparseGPT leaves of the same Hessian. Single rows may lose more.
    @Test(arguments: sparsities, [ScaleType.f32, .bf16])
    func neverWorseThanSparseGPT(sparsity: Sparsity, type: ScaleType) throws {
        let fixture = PruningFixture.shared
        let factors = try Factors(fixture.hessian)
        let tile = try factors.tile(fixture.weights, sparsity, .values(type)).solve().tile
        let published = try SparseGPTTile(
            weights: fixture.weights, factor: factors.factor, pruning: PruningOptions(sparsity: sparsity, scope: .blocks(of: 128)), content: .values(type)
        ).solve().tile
        let (loss, bound) = (tile.loss.reduce(0, +), published.loss.reduce(0, +))
        #expect(loss < 0.95 * bound, "\(loss / bound)")
    }

    /// A tile by itself has the layer's weights once the thresholds are known, and the same bits whenever it is solved.
    @Test(arguments: sparsities)
    func tilesAreIndependentOfEachOther(sparsity: Sparsity) throws {
        let layer = Layer(rows: 64, columns: 320, dead: [5, 200])
        let factors = try Factors(layer.hessian)
        let whole = try factors.tile(layer.weights, sparsity).solve(measuringEnergy: true)
        for part in [0..<32, 32..<64] {
            func solve() throws -> SolvedTile { try factors.tile(layer.weights.rows(part), sparsity).solve(thresholds: whole.thresholds).tile }
            let tile = try solve()
            #expect(try solve().weights(32, 320) == tile.weights(32, 320))
            for (loss, expected) in zip(tile.loss, whole.tile.loss[part]) { #expect(abs(loss - expected) <= 1e-3 * expected) }
        }
        #expect(whole.tile.energy.count == 32)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let layer = Layer(rows: 4, columns: 60)
        let factors = try Factors(layer.hessian)
        func error(_ sparsity: Sparsity, _ content: TileContent) -> CompressionError? {
            #expect(throws: CompressionError.self) { try factors.tile(layer.weights, sparsity, content) }
        }
        #expect(error(.pattern(pruned: 4, of: 8), .values(.f32))?.description.contains("does not fit 60 columns") == true)
        #expect(error(.share(0.5), .codes(QuantizationOptions()))?.description.contains("does not quantize") == true)
        layer.weights[2, 3] = .infinity
        #expect(error(.share(0.5), .values(.f32)) == .weightsNotFinite(row: 2, column: 3))
    }

    /// As of SparseGPT: a neighbour doubles, beyond what f16 can hold.
    @Test func valuesBeyondTheirTypeAreAnError() throws {
        let hessian = Matrix<Double>([1, 0.9999, 0.9999, 1], 2, 2)
        func make(_ penalty: Double) throws -> Factor { try factor(hessian: hessian, dampingFraction: 1e-6, actOrder: false, penalty: penalty) }
        let tile = try ADMMTile(
            weights: Matrix([40000, 60000], 1, 2), factor: try make(0), penalised: try make(ADMM.penalty),
            pruning: PruningOptions(sparsity: .pattern(pruned: 1, of: 2), scope: .layer, choices: ADMM.steps), content: .values(.f16))
        #expect(throws: CompressionError.valueOutOfRange(row: 0, column: 1, .f16)) { try tile.finish(measuringEnergy: false) }
    }
}
