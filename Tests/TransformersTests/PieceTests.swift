// The pieces of a stage: each row once, by shape alone, and the same result wherever they are computed.

import Foundation
import LinearAlgebra
import Testing
import Transformers

private let variants = [
    "llama-tied-grouped", "llama-biases-head-size", "mistral-window", "qwen2", "qwen3", "gpt2", "opt", "gpt-neox", "gpt-neox-sequential", "deepseek-v3",
    "deepseek-v3-whole-queries", "qwen3-next", "phi3", "gemma2", "gemma3", "granite", "cohere-norms", "falcon-groups", "falcon-alibi", "bloom",
]

private func llama(hidden: Int, intermediate: Int, heads: Int, keyValueHeads: Int) throws -> Architecture {
    let text = """
        {"model_type": "llama", "hidden_size": \(hidden), "intermediate_size": \(intermediate), "num_hidden_layers": 1, "num_attention_heads": \(heads),
         "num_key_value_heads": \(keyValueHeads), "vocab_size": 100, "max_position_embeddings": 128}
        """
    return try Architecture(configuration: Data(text.utf8), source: "config.json")
}

@Suite struct PieceTests {
    @Test(arguments: variants, [1, 3, 8, 512])
    func everyRowAndColumnOnce(variant: String, leastRows: Int) throws {
        for stage in try Fixture(variant).architecture().block(0).denseStages {
            let pieces = stage.pieces(leastRows: leastRows)
            for (index, linear) in stage.linears.enumerated() {
                let rows = pieces.flatMap(\.parts).filter { $0.linear == index }.flatMap { Array($0.rows) }
                #expect(rows.sorted() == Array(0..<linear.rows), "\(stage.name)")
            }
            #expect(pieces.flatMap { Array($0.columns) } == Array(0..<(pieces.last?.columns.upperBound ?? 0)), "\(stage.name)")
        }
    }

    /// Enough for the ranks of a node, and none so narrow that its products would be slow.
    @Test(arguments: [(8192, 28672, 64, 8), (16384, 53248, 128, 8), (12288, 49152, 96, 96)])
    func largeModelsHaveAPieceForEachOfEightRanks(hidden: Int, intermediate: Int, heads: Int, keyValueHeads: Int) throws {
        for stage in try llama(hidden: hidden, intermediate: intermediate, heads: heads, keyValueHeads: keyValueHeads).block(0).stages {
            let pieces = stage.pieces
            #expect(pieces.count % 8 == 0, "\(stage.name): \(pieces.count)")
            #expect(pieces.allSatisfy { piece in piece.parts.contains { $0.rows.count >= 512 } })
            // None has much more to do than another.
            let rows = pieces.map(\.rows)
            #expect(Double(rows.max() ?? 0) <= 1.1 * Double(rows.min() ?? 0), "\(stage.name): \(rows)")
        }
    }

    @Test func smallModelsAreWhole() throws {
        let stages = try llama(hidden: 576, intermediate: 768, heads: 9, keyValueHeads: 3).block(0).stages
        #expect(stages.map(\.pieces.count) == [1, 1, 1, 1])
        #expect(stages.map { $0.pieces[0].parts.map(\.rows.count) } == stages.map { $0.linears.map(\.rows) })
    }

    @Test func arithmeticIsThatOfTheStage() throws {
        for stage in try llama(hidden: 8192, intermediate: 28672, heads: 64, keyValueHeads: 8).block(0).stages {
            let (sum, whole) = (stage.operations(of: stage.pieces, lengths: [100, 2000]), stage.operations(lengths: [100, 2000]))
            #expect(abs(sum - whole) < 1e-12 * whole)
        }
    }

    /// Heads find their queries, keys and values in every layout: cut or whole, the numbers differ by rounding alone. Experts are never cut, and left out.
    @Test(arguments: variants)
    func cutOrWholeIsTheSameFunction(variant: String) throws {
        let fixture = try Fixture(variant)
        let forward = try fixture.forward(.f32)
        var (whole, cut) = (try forward.embed(fixture.ids), try forward.embed(fixture.ids))
        var most = 0
        for block in forward.architecture.blocks {
            for stage in block.denseStages {
                let pieces = stage.pieces(leastRows: 1)
                most = max(most, pieces.count)
                let weights = try stage.linears.map { try forward.loadWeights($0) }
                try forward.apply(stage, weights: weights, to: try forward.input(of: stage, whole), &whole)
                try forward.apply(stage, pieces: pieces, weights: weights, to: try forward.input(of: stage, cut), &cut)
            }
            forward.finishBlock(&whole)
            forward.finishBlock(&cut)
        }
        #expect(most > 1)
        // The recurrence of linear attention magnifies rounding.
        #expect(largestDifference(cut.residual, whole.residual) < 5e-4)
    }

    /// A rank that has the rows of some pieces alone, and sends what it made of them, gives the bits of a rank that has all.
    @Test(arguments: variants, Compute.allCases)
    func aPieceElsewhereHasTheSameBits(variant: String, compute: Compute) throws {
        let fixture = try Fixture(variant)
        let forward = try fixture.forward(compute)
        var (here, gathered) = (try forward.embed(fixture.ids), try forward.embed(fixture.ids))
        for stage in forward.architecture.block(0).denseStages {
            let pieces = stage.pieces(leastRows: 1)
            let weights = try stage.linears.map { try forward.loadWeights($0) }
            let input = try forward.input(of: stage, here), values = forward.values(read: stage, here)
            try forward.apply(stage, pieces: pieces, weights: weights, to: input, &here)
            let result = forward.begin(stage, &gathered)
            for tokens in forward.tokenRanges(of: stage, gathered.lengths) {
                for piece in pieces {
                    let parts = try piece.parts.map { part in
                        let linear = stage.linears[part.linear]
                        let weight = Operand(uninitialized: compute, part.rows.count, linear.columns)
                        try forward.loadRows(linear, [(part.rows, weight)])
                        return LinearWeights(weight: weight, bias: try forward.bias(of: linear).map { Array($0[part.rows]) })
                    }
                    let sent = forward.output(of: stage, tokens: tokens.count, columns: piece.columns.count)
                    let read = zip(stage.effect.reads, zip([piece].reads, values)).map { whole, part in
                        let first = whole.columns.lowerBound
                        return part.1.rows(tokens).columns(part.0.columns.lowerBound - first..<part.0.columns.upperBound - first)
                    }
                    forward.compute([piece], weights: [parts], try forward.context(of: stage), input.rows(tokens), values: read, into: .value(sent))
                    result.take(sent, tokens: tokens, columns: piece.columns)
                }
            }
            try forward.end(stage, result, gathered)
            #expect(gathered.residual.elements().map(\.bitPattern) == here.residual.elements().map(\.bitPattern), "\(stage.name)")
            #expect(gathered.values.mapValues(bits) == here.values.mapValues(bits), "\(stage.name)")
            #expect(gathered.pending?.elements() == here.pending?.elements(), "\(stage.name)")
        }
    }

    /// Packed weights that stay in cache take 64 tokens at once, larger ones 256; against doubles, at the ends of such units and of pieces.
    @Test(arguments: [(512, 8), (2048, 8), (2048, 600)])
    func everyTokenPassesEveryPiece(hidden: Int, tokens: Int) throws {
        let architecture = try llama(hidden: hidden, intermediate: 1056, heads: 8, keyValueHeads: 8)
        let stage = try #require(architecture.block(0).stages.first { $0.name == "gate+up" })
        let forward = Forward(architecture: architecture, compute: .bf16, source: try Fixture("llama-tied-grouped").source)
        #expect(stage.pieces.count == 2)
        func random(_ rows: Int, _ scale: Float) -> Matrix<BFloat16> {
            let narrowed = Matrix<BFloat16>(uninitialized: rows, hidden)
            convert(Matrix((0..<rows * hidden).map { _ in Float.random(in: -scale...scale) }, rows, hidden), into: narrowed)
            return narrowed
        }
        let (input, gate, up) = (random(tokens, 1), random(1056, 0.1), random(1056, 0.1))
        let weights = stage.pieces.map { piece in
            zip([gate, up], piece.parts).map { LinearWeights(weight: .bf16($0.rows($1.rows)), bias: nil).packed() }
        }
        let target = forward.output(of: stage, tokens: tokens, columns: 1056)
        forward.compute(stage.pieces, weights: weights, try forward.context(of: stage), .bf16(input), into: .value(target))
        guard case .bf16(let target) = target else { throw Fixture.Problem(description: "a result in fp32") }
        for token in [0, 1, 63, 64, 255, 256, 511, 512, 599] where token < tokens {
            for column in [0, 527, 528, 1055] {
                func product(_ weight: Matrix<BFloat16>) -> Double {
                    (0..<hidden).reduce(0) { $0 + Double(input[token, $1].float) * Double(weight[column, $1].float) }
                }
                let (a, b) = (product(gate), product(up))
                let expected = a / (1 + exp(-a)) * b
                #expect(abs(Double(target[token, column].float) - expected) <= 0.005 * abs(expected) + 1e-4, "token \(token), column \(column)")
            }
        }
    }

    private func bits(_ operand: Operand) -> [UInt32] {
        switch operand {
        case .f32(let matrix): matrix.elements().map(\.bitPattern)
        case .bf16(let matrix):
            (0..<matrix.rows).flatMap { row in
                matrix.row(row).withMemoryRebound(to: UInt16.self, capacity: matrix.columns) { line in (0..<matrix.columns).map { UInt32(line[$0]) } }
            }
        }
    }
}
