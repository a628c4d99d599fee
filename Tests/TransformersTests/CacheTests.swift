// The largest keys and values that attention keeps: by heads, of all sequences, whichever pieces are computed where.

import Foundation
import LinearAlgebra
import Testing
import Transformers

@Suite struct CacheTests {
    /// Runs the attention stage of the first block, one call for each of `parts`, and gives the magnitudes with the stage's input.
    private func run(_ fixture: Fixture, _ compute: Compute, parts: ([Piece]) -> [[Piece]]) throws -> (stage: Stage, input: Operand, magnitudes: [Float]) {
        let forward = try fixture.forward(compute)
        var state = try forward.embed(fixture.ids)
        let stage = try #require(forward.architecture.block(0).denseStages.first { $0.effect.cache != .nothing })
        guard case .heads(let heads) = stage.effect.cache else { throw Fixture.Problem(description: "no heads") }
        let input = try forward.input(of: stage, state), cache = CacheMagnitudes(heads: heads)
        let result = forward.begin(stage, &state)
        for pieces in parts(stage.pieces(leastRows: 1)) {
            let weights = try pieces.map { piece in
                try piece.parts.map { part in
                    let linear = stage.linears[part.linear]
                    let weight = Operand(uninitialized: compute, part.rows.count, linear.columns)
                    try forward.loadRows(linear, [(part.rows, weight)])
                    return LinearWeights(weight: weight, bias: try forward.bias(of: linear).map { Array($0[part.rows]) })
                }
            }
            let columns = (pieces.first?.columns.lowerBound ?? 0)..<(pieces.last?.columns.upperBound ?? 0)
            for tokens in forward.tokenRanges(of: stage, state.lengths) {
                forward.compute(
                    pieces, weights: weights, try forward.context(of: stage, cache: cache), input.rows(tokens), into: result.rows(tokens).columns(columns))
            }
        }
        return (stage, input, cache.magnitudes)
    }

    /// Against doubles: values as their linear makes them, keys after their rotation.
    @Test func keysAndValuesOfEachHead() throws {
        let fixture = try Fixture("llama-tied-grouped")
        let (stage, input, found) = try run(fixture, .f32) { [$0] }
        guard case .f32(let input) = input, let attention = stage.effect as? Attention else { throw Fixture.Problem(description: "another attention") }
        let (heads, size, source) = (attention.keyValueHeads, attention.headSize, fixture.source)
        func outputs(_ linear: Int) throws -> [[Double]] {
            let weight = Matrix<Float>(uninitialized: stage.linears[linear].rows, input.columns)
            try source.rows(of: stage.linears[linear], 0..<weight.rows, into: weight)
            return (0..<input.rows).map { token in
                (0..<weight.rows).map { row in (0..<input.columns).reduce(0.0) { $0 + Double(input[token, $1]) * Double(weight[row, $1]) } }
            }
        }
        var expected = [Double](repeating: 0, count: 2 * heads)
        let (keys, values) = (try outputs(1), try outputs(2))
        for (start, length) in zip([0, fixture.ids[0].count], fixture.ids.map(\.count)) {
            for position in 0..<length {
                for head in 0..<heads {
                    let key = keys[start + position][head * size..<(head + 1) * size].map { $0 }
                    for pair in 0..<size / 2 {
                        // theta 10000, the halves of a head together.
                        let angle = Double(position) * pow(10000, -2 * Double(pair) / Double(size))
                        let (a, b) = (key[pair], key[pair + size / 2])
                        expected[head] = max(expected[head], abs(a * cos(angle) - b * sin(angle)), abs(b * cos(angle) + a * sin(angle)))
                    }
                    expected[heads + head] = values[start + position][head * size..<(head + 1) * size].reduce(expected[heads + head]) { max($0, abs($1)) }
                }
            }
        }
        #expect(heads == 2 && found.count == 4)
        for (value, wanted) in zip(found, expected) { #expect(abs(Double(value) - wanted) < 1e-5 * wanted, "\(found) for \(expected)") }
        #expect(Set(found).count == found.count)
    }

    /// Ranks that compute some heads each see together what one sees.
    @Test(arguments: ["llama-tied-grouped", "qwen3", "gemma3", "gpt-oss", "llama4", "phi3", "gpt-neox", "falcon-groups", "olmoe-clipped"], Compute.allCases)
    func piecesSeeWhatTheWholeSees(variant: String, compute: Compute) throws {
        let fixture = try Fixture(variant)
        let whole = try run(fixture, compute) { [$0] }.magnitudes
        #expect(whole.allSatisfy { $0 > 0 && $0.isFinite })
        #expect(try run(fixture, compute) { $0.map { [$0] } }.magnitudes == whole)
        #expect(try run(fixture, compute) { $0.reversed().map { [$0] } }.magnitudes == whole)
    }

    @Test(arguments: [("deepseek-v3", TokenCache.latent), ("qwen3-next", .nothing), ("gpt2", .heads(4))] as [(String, TokenCache)])
    func whatFamiliesKeep(variant: String, cache: TokenCache) throws {
        let stages = try Fixture(variant).architecture().block(0).denseStages
        #expect(stages.map(\.effect.cache).first { $0 != .nothing } ?? .nothing == cache)
    }
}
