// Likelihoods, refused batches and the states between stages.

import Foundation
import LinearAlgebra
import Testing
import Transformers

@Suite struct ForwardTests {
    @Test func likelihoodIsThatOfTheLogits() throws {
        let fixture = try Fixture("llama")
        let forward = try fixture.forward(.f32)
        let state = try forward.run(fixture.ids)
        let head = try forward.loadWeights(forward.architecture.head.linear)
        let logits = try forward.logits(state, head: head)
        let found = try forward.negativeLogLikelihood(of: fixture.ids, state, head: head)
        for ((ids, range), found) in zip(zip(fixture.ids, state.ranges), found) {
            var expected = 0.0
            for token in 0..<ids.count - 1 {
                let line = logits.rows(range).rows(token..<token + 1).elements().map { Double($0) }
                expected += log(line.map { exp($0) }.reduce(0, +)) - line[Int(ids[token + 1])]
            }
            #expect(abs(found - expected) < 1e-6 * expected)
        }
    }

    @Test func aSequenceOfOneTokenPredictsNothing() throws {
        let fixture = try Fixture("llama")
        let forward = try fixture.forward(.f32)
        let head = try forward.loadWeights(forward.architecture.head.linear)
        #expect(try forward.negativeLogLikelihood(of: [[3]], try forward.run([[3]]), head: head) == [0])
    }

    @Test func refusesIdsOutsideTheVocabulary() throws {
        let forward = try Fixture("llama").forward(.f32)
        #expect(throws: ForwardError.tokenOutOfRange(sequence: 1, position: 2, id: 40, vocabularySize: 40)) {
            try forward.embed([[1], [1, 2, 40]])
        }
        #expect(throws: ForwardError.tokenOutOfRange(sequence: 0, position: 0, id: -1, vocabularySize: 40)) { try forward.embed([[-1]]) }
        #expect(throws: ForwardError.emptySequence(sequence: 0)) { try forward.embed([[]]) }
    }

    @Test func refusesSequencesBeyondLearnedPositions() throws {
        let forward = try Fixture("gpt2").forward(.f32)
        #expect(throws: ForwardError.sequenceTooLong(sequence: 0, length: 161, maximumPositions: 160)) {
            try forward.embed([Array(repeating: 1, count: 161)])
        }
    }

    @Test func refusesTensorsOfAnotherShape() throws {
        let fixture = try Fixture("llama")
        let other = try #require(String(data: fixture.configuration, encoding: .utf8))
            .replacing(#""head_dim":6"#, with: #""head_dim":8"#)
        let architecture = try Architecture(configuration: Data(other.utf8), source: "config.json")
        let forward = Forward(architecture: architecture, compute: .f32, source: fixture.source)
        #expect(throws: ForwardError.tensorShape(tensor: "model.layers.0.self_attn.q_proj.weight", found: [24, 24], expected: [32, 24])) {
            try forward.loadWeights(architecture.blocks[0].stages[0].linears[0])
        }
    }

    /// Parallel residual: the feed-forward half reads the block's input, whatever attention has added.
    @Test func pendingSumsJoinAtTheBlocksEnd() throws {
        let fixture = try Fixture("gpt-neox")
        let forward = try fixture.forward(.f32)
        var state = try forward.embed(fixture.ids)
        let before = state.residual.elements()
        for stage in forward.architecture.block(0).stages {
            let weights = try stage.linears.map { try forward.loadWeights($0) }
            try forward.apply(stage, weights: weights, to: try forward.input(of: stage, state), &state)
            #expect(state.residual.elements() == before)
        }
        let pending = try #require(state.pending).elements()
        forward.finishBlock(&state)
        #expect(state.residual.elements() == zip(before, pending).map { $0 + $1 })
        #expect(state.pending == nil && state.carried == nil)
    }

    @Test func transposedWeightsComeAsRowsByColumns() throws {
        let fixture = try Fixture("gpt2-erf")
        let forward = try fixture.forward(.f32)
        let linear = forward.architecture.block(0).stages[2].linears[0]
        let stored = try fixture.source.matrix(linear.weight)
        let weight = try forward.weight(of: linear)
        #expect((weight.rows, weight.columns) == (linear.rows, linear.columns))
        #expect((stored.rows, stored.columns) == (linear.columns, linear.rows))
        #expect(weight[linear.rows - 1, 3] == stored[3, linear.rows - 1])
    }
}
