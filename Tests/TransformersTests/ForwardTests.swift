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

    @Test func divergenceIsThatOfTheLogits() throws {
        let fixture = try Fixture("llama")
        let forward = try fixture.forward(.f32)
        let state = try forward.run(fixture.ids)
        let head = try forward.loadWeights(forward.architecture.head.linear)
        var changed = state
        changed.residual = state.residual.copy()
        for row in 0..<state.tokens { changed.residual[row, 3] *= 1.25 }
        func logProbabilities(_ state: BatchState) throws -> [[Double]] {
            let logits = try forward.logits(state, head: head)
            return (0..<logits.rows).map { row in
                let line = logits.rows(row..<row + 1).elements().map { Double($0) }
                let sum = log(line.map { exp($0) }.reduce(0, +))
                return line.map { $0 - sum }
            }
        }
        let expected = zip(try logProbabilities(state), try logProbabilities(changed)).reduce(0) { sum, rows in
            sum + zip(rows.0, rows.1).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        }
        let found = try forward.divergences(of: [state, changed], from: state, head: head)
        #expect(abs(found[0]) < 1e-5 && expected > 1e-3 && abs(found[1] - expected) < 1e-3 * expected, "\(found), \(expected)")
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

    /// The factor of Gemma's embeddings is rounded to the type of the model's numbers: sqrt(24) = 4.898979.
    @Test(arguments: [("float32", Float(24).squareRoot()), ("bfloat16", 4.90625), ("float16", 4.8984375)])
    func embeddingsHaveAFactorInTheModelsType(type: String, factor: Float) throws {
        let fixture = try Fixture("gemma2")
        let text = try #require(String(data: fixture.configuration, encoding: .utf8)).replacing(#""dtype":"float32""#, with: "\"dtype\":\"\(type)\"")
        let architecture = try Architecture(configuration: Data(text.utf8), source: "config.json")
        let stored = try fixture.source.matrix(architecture.embedding.tokens).rows(7..<8).elements()
        let found = try Forward(architecture: architecture, compute: .f32, source: fixture.source).embed([[7]]).residual.elements()
        #expect(found == stored.map { $0 * factor })
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
        #expect(state.pending == nil && state.values.isEmpty)
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
