// SparseGPT and its baselines against the float64 reference.

import Compression
import LinearAlgebra
import Testing

@Suite struct PruningReferenceTests {
    @Test(arguments: PruningFixture.shared.cases)
    func masksWeightsAndLossAreTheReferences(_ expected: PruningFixture.Case) throws {
        let fixture = PruningFixture.shared
        let (rows, columns) = (fixture.weights.rows, fixture.weights.columns)
        let factor = try factor(hessian: fixture.hessian, dampingFraction: 0.01, actOrder: false)
        #expect(factor.deadColumns == [77] && factor.attempts == 1)
        let (tile, _) = try beginPruning(expected.method, fixture.weights, factor, expected.pruning, expected.content).solve()
        let found = tile.weights(rows, columns)
        #expect(zip(found, expected.weights).filter { ($0 == 0) != ($1 == 0) }.count == 0)
        for (weight, reference) in zip(found, expected.weights) { #expect(abs(weight - reference) <= Self.tolerance(expected.content) * abs(reference)) }
        for (loss, reference) in zip(tile.loss, expected.loss) { #expect(abs(loss - reference) <= 1e-4 * reference) }
    }

    /// Codes and 16-bit numbers are the same; numbers in fp32 have come through sums in fp32.
    private static func tolerance(_ content: TileContent) -> Float {
        content == .values(.f32) ? 1e-3 : 1e-6
    }
}
