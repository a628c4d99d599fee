// Routes, and sums of experts' outputs.

import Foundation
import LinearAlgebra
import Testing
import Transformers

@Suite struct ExpertTests {
    private func randoms(_ rows: Int, _ columns: Int, _ scale: Float) -> Matrix<Float> {
        Matrix((0..<rows * columns).map { _ in Float.random(in: -scale...scale) }, rows, columns)
    }

    /// Outputs of three experts for every token, in any order and in any pieces: the same bits, close to the sum in doubles.
    @Test func anyOrderGivesTheSameBits() {
        let (tokens, columns) = (37, 50)
        let residual = randoms(tokens, columns, 3)
        let outputs = (0..<3).map { expert in randoms(tokens, columns, [0.01, 1, 300][expert]) }
        let weights = (0..<3).map { _ in (0..<tokens).map { _ in Float.random(in: 0...1) } }
        let all = (0..<tokens).map { Int32($0) }
        func sum(_ order: [Int], pieces: Int) -> [Double] {
            let sum = ExpertSum(residual: residual)
            for expert in order {
                for start in stride(from: 0, to: tokens, by: pieces) {
                    let rows = start..<min(start + pieces, tokens)
                    #expect(sum.add(outputs[expert].rows(rows).copy(), tokens: all[rows], weights: weights[expert][rows]))
                }
            }
            return sum.values.elements()
        }
        let reference = sum([0, 1, 2], pieces: tokens)
        for (order, pieces) in [([2, 1, 0], 7), ([1, 0, 2], 1), ([0, 2, 1], 36)] {
            #expect(sum(order, pieces: pieces).map(\.bitPattern) == reference.map(\.bitPattern))
        }
        for token in 0..<tokens {
            let largest = (0..<columns).map { abs(residual[token, $0]) }.max() ?? 0
            for column in 0..<columns {
                let expected = (0..<3).reduce(0.0) { $0 + Double(weights[$1][token] * outputs[$1][token, column]) }
                #expect(abs(reference[token * columns + column] - expected) <= Double(largest) * 0x1p-31)
            }
        }
    }

    @Test(arguments: [Float.infinity, .nan, 1e20])
    func outputsThatNoSumHolds(value: Float) {
        let outputs = Matrix<Float>(repeating: 1, 2, 8)
        outputs[1, 3] = value
        #expect(!ExpertSum(residual: Matrix(repeating: 1, 2, 8)).add(outputs, tokens: [0, 1], weights: [1, 1]))
    }

    /// A router whose rows are given: of equal outputs the lower expert wins, and weights are shares of all experts or of the chosen.
    @Test(arguments: [true, false])
    func equalExpertsAreTakenInOrder(normalises: Bool) throws {
        let configuration = """
            {"model_type": "qwen3_moe", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
             "vocab_size": 10, "max_position_embeddings": 16, "head_dim": 4, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
             "norm_topk_prob": \(normalises)}
            """
        let architecture = try Architecture(configuration: Data(configuration.utf8), source: "config.json")
        let mixture = try #require(architecture.block(0).mixture)
        // Expert e multiplies the first element by its number below.
        let forward = Forward(architecture: architecture, compute: .f32, source: Rows(factors: [1, 2, 2, -1, 2]))
        let input = Matrix<Float>(repeating: 0, 2, 8)
        (input[0, 0], input[1, 0]) = (1, -1)
        let route = try forward.route(mixture, .f32(input))
        #expect(route.experts.elements() == [1, 2, 0, 3])
        let outputs: [Double] = [1, 2, 2, -1, 2]
        let shares = outputs.map { exp($0) }, others = outputs.map { exp(-$0) }
        let sum = normalises ? 2 * shares[1] : shares.reduce(0, +)
        let otherSum = normalises ? others[0] + others[3] : others.reduce(0, +)
        let expected = [shares[1] / sum, shares[2] / sum, others[0] / otherSum, others[3] / otherSum]
        #expect(zip(route.weights.elements(), expected).allSatisfy { abs(Double($0) - $1) < 1e-6 })
    }

    private struct Rows: ParameterSource {
        let factors: [Float]

        func matrix(_ tensor: String) throws -> Matrix<Float> { throw Fixture.Problem(description: "no tensor \(tensor)") }

        func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
            for (row, index) in indices.enumerated() {
                for column in 0..<destination.columns { destination[row, column] = column == 0 ? factors[Int(index)] : 0 }
            }
        }
    }

    @Test func expertsAreTheLastStages() throws {
        let architecture = try Fixture("qwen2-moe-some-blocks").architecture()
        #expect(architecture.blocks.map { $0.mixture != nil } == [false, true])
        let block = architecture.blocks[1], mixture = try #require(architecture.blocks[1].mixture)
        #expect(block.denseStages.map(\.name) == ["qkv", "attention output", "shared expert gate+up", "shared expert down"])
        #expect(mixture.experts == 7 && mixture.stages(of: 6).upperBound == block.stages.count)
        #expect(block.expert(ofStage: 3) == nil && block.expert(ofStage: 4) == 0 && block.expert(ofStage: block.stages.count - 1) == 6)
        #expect(block.plainLinears.map(\.name) == ["shared_expert_gate", "gate"].map { "model.layers.1.mlp.\($0)" })
        #expect(architecture.plainModules.contains("lm_head"))
    }
}
