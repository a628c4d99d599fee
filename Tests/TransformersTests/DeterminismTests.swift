// The same bits for any number of threads, and sequences that do not see each other.

import LinearAlgebra
import Testing
import Transformers

@Suite(.serialized) struct DeterminismTests {
    private static let cases = ["llama-tied-grouped", "mistral-window", "gpt-neox", "gpt2"].flatMap { name in
        Compute.allCases.map { (name, $0) }
    }

    @Test(arguments: cases)
    func bitsDoNotDependOnThreads(variant: String, compute: Compute) throws {
        defer { Threads.count = 1 }
        let fixture = try Fixture(variant)
        let results = try [1, 2, 3, 16].map { threads in
            Threads.count = threads
            let forward = try fixture.forward(compute)
            let state = try forward.run(fixture.ids)
            let head = try forward.loadWeights(forward.architecture.head.linear)
            let losses = try forward.negativeLogLikelihood(of: fixture.ids, state, head: head)
            return (state.residual.elements().map(\.bitPattern), losses.map(\.bitPattern))
        }
        for result in results.dropFirst() { #expect(result == results[0]) }
    }

    /// Products of other shapes may round otherwise, so alone and together agree closely and not in every bit.
    @Test(arguments: cases)
    func aBatchIsItsSequences(variant: String, compute: Compute) throws {
        let fixture = try Fixture(variant)
        let forward = try fixture.forward(compute)
        let together = try forward.run(fixture.ids)
        for (ids, range) in zip(fixture.ids, together.ranges) {
            let alone = try forward.run([ids])
            #expect(largestDifference(alone.residual, together.residual.rows(range)) < (compute == .f32 ? 1e-4 : 0.2))
        }
    }

    @Test(arguments: cases)
    func tokensDoNotSeeTheFuture(variant: String, compute: Compute) throws {
        let fixture = try Fixture(variant)
        let forward = try fixture.forward(compute)
        let whole = fixture.ids[0]
        var changed = whole
        changed[140] = (changed[140] + 1) % Int32(forward.architecture.vocabularySize)
        let (before, after) = (try forward.run([whole]).residual, try forward.run([changed]).residual)
        #expect(before.rows(0..<140).elements() == after.rows(0..<140).elements())
        #expect(before.rows(140..<150).elements() != after.rows(140..<150).elements())
    }
}
