// GPTQ against the float64 reference.

import Compression
import LinearAlgebra
import Testing

@Suite struct ReferenceTests {
    @Test(arguments: Fixture.shared.cases)
    func codesAndLossAreTheReferences(_ expected: Fixture.Case) throws {
        let options = expected.options
        let factor = try factor(hessian: Fixture.shared.hessian, dampingFraction: 0.01, actOrder: options.actOrder, wholeGroups: options.widthOfWholeGroups)
        let tile = try gptq(weights: Fixture.shared.weights, factor: factor, options: options)
        #expect(factor.deadColumns == [77])
        #expect(factor.attempts == 1)
        let differing = zip(tile.codes.elements(), expected.codes).filter { $0 != $1 }.count
        #expect(differing == 0)
        #expect(tile.zeros.elements() == expected.zeros)
        for (scale, reference) in zip(tile.scales.elements(), expected.scales) { #expect(abs(scale - reference) <= 1e-6 * abs(reference)) }
        for (loss, reference) in zip(tile.loss, expected.loss) { #expect(abs(loss - reference) <= 1e-4 * reference) }
    }
}
