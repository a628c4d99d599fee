// Changed weights: the same function, whatever the family, and windows of tensors that agree with matrices in double precision.

import Foundation
import LinearAlgebra
import Testing
import Transformers

@Suite struct EquivalenceTests {
    /// The numbers of a fixture as a rotated model has them.
    private struct ChangedSource: ParameterSource {
        let changed: EquivalentArchitecture
        let source: any ParameterSource
        let shapes: [String: [Int]]

        private func stored(_ tensor: String) -> String {
            tensor == changed.architecture.head.own.weight ? changed.embeddingOfHead ?? tensor : tensor
        }

        private func read(_ tensor: String, _ rows: Range<Int>, _ columns: Range<Int>, _ destination: Matrix<Float>) throws {
            let stored = stored(tensor), isMatrix = (shapes[stored]?.count ?? 0) > 1
            @Sendable func plain(_ rows: Range<Int>, _ columns: Range<Int>, _ destination: Matrix<Float>) throws {
                guard isMatrix else { return destination.assign(try source.matrix(stored).columns(columns)) }
                try source.rows(stored, rows.map { Int32($0) }, columns: columns, into: destination)
            }
            guard let transform = changed.transforms[tensor] else { return try plain(rows, columns, destination) }
            try transform.read(
                rows: rows, columns: columns, type: .f32, into: destination, stored: plain, gain: { $0.gain(try source.matrix($0.weight).elements()) },
                scales: { channels in (0..<channels.count).map { 0.5 + Double(($0 * 7) % 11) / 5 } })
        }

        func matrix(_ tensor: String) throws -> Matrix<Float> {
            guard let shape = shapes[stored(tensor)], let columns = shape.last else { throw Fixture.Problem(description: "no tensor \(tensor)") }
            let rows = shape.dropLast().reduce(1, *), whole = Matrix<Float>(uninitialized: rows, columns)
            try read(tensor, 0..<rows, 0..<columns, whole)
            return shape.count == 2 ? whole : Matrix(whole.elements(), 1, rows * columns)
        }

        func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
            try rows(tensor, indices, columns: 0..<destination.columns, into: destination)
        }

        func rows(_ tensor: String, _ indices: [Int32], columns: Range<Int>, into destination: Matrix<Float>) throws {
            for (row, index) in indices.enumerated() { try read(tensor, Int(index)..<Int(index) + 1, columns, destination.rows(row..<row + 1)) }
        }
    }

    private static let blocksOf8 = WeightRotation(block: .exactly(8))

    private func rotated(_ fixture: Fixture, _ rotation: WeightRotation? = Self.blocksOf8, equalizes: Bool = false) throws -> ChangedSource {
        let changes = try #require(Equivalence(rotation: rotation, equalizes: equalizes))
        return ChangedSource(changed: try EquivalentArchitecture(fixture.architecture(), changes), source: fixture.source, shapes: fixture.shapes)
    }

    @Test(arguments: [
        "llama", "llama-tied-grouped", "llama-biases-head-size", "qwen2", "qwen3", "mistral-window", "phi3", "granite", "mixtral", "qwen2-moe",
        "qwen2-moe-some-blocks", "qwen3-moe", "olmoe", "olmoe-clipped", "deepseek-v2-lite", "deepseek-v3", "glm4-moe", "minimax-m2", "gpt-oss", "llama4",
        "qwen3-next", "qwen3_5-moe",
    ])
    func theFunctionStays(name: String) throws {
        let fixture = try Fixture(name), source = try rotated(fixture), architecture = source.changed.architecture
        let plain = try fixture.forward(.f32).logits(fixture.ids)
        let found = try Forward(architecture: architecture, compute: .f32, source: source).logits(fixture.ids)
        #expect(largestDifference(plain, found) < 1e-4)
        #expect(!architecture.head.isTied)
        // Nothing of it is the same by chance.
        let weight = architecture.blocks[0].stages[0].linears[0].weight
        #expect(largestDifference(try fixture.source.matrix(weight), try source.matrix(weight)) > 0.01)
        let norms = architecture.blocks.flatMap(\.stages).compactMap { $0.input.value.name.hasSuffix("layernorm.weight") ? $0.input.value.name : nil }
        for norm in Set(norms + [architecture.finalNorm.weight]) where source.changed.transforms[norm] != nil {
            #expect(Set(try source.matrix(norm).elements()).count == 1)
        }
    }

    /// Whatever the factors of channels are: every family's function stays, alone and with a rotation, and what may not be scaled stays as it is.
    @Test(arguments: [
        // Norms, values and gated outputs that are scaled; norms before routers, and experts in one tensor, that are not.
        ("llama", 8, 0), ("llama-biases-head-size", 8, 0), ("phi3", 8, 0), ("qwen3", 8, 0), ("gemma2", 8, 0), ("gemma3", 8, 0), ("cohere", 6, 0),
        ("gpt2", 6, 0), ("opt", 6, 0), ("gpt-neox", 6, 0), ("bloom", 6, 0), ("gptj", 4, 0), ("falcon-groups", 6, 0), ("mixtral", 18, 2),
        ("olmoe-clipped", 16, 2),
        ("qwen2-moe", 20, 2), ("deepseek-v3", 19, 1), ("gpt-oss", 4, 2), ("llama4", 7, 6), ("qwen3-next", 28, 3),
    ])
    func channelsAreScaled(name: String, scaled: Int, kept: Int) throws {
        let fixture = try Fixture(name), plain = try fixture.forward(.f32).logits(fixture.ids)
        for rotation in [nil, Self.blocksOf8] {
            guard let source = try? rotated(fixture, rotation, equalizes: true) else {
                #expect(rotation != nil, "what cannot be rotated can still be scaled")
                continue
            }
            let found = try Forward(architecture: source.changed.architecture, compute: .f32, source: source).logits(fixture.ids)
            #expect(largestDifference(plain, found) < 1e-4)
            guard rotation == nil else { continue }
            #expect((source.changed.channels.count, source.changed.keptChannelMakers) == (scaled, kept))
            for reader in source.changed.channels.map({ $0.readers[0].weight }) {
                #expect(largestDifference(try fixture.source.matrix(reader), try source.matrix(reader)) > 0.001, "\(reader)")
            }
        }
    }

    /// Values are rotated where nothing but the heads' weights meets them: clipped and gated ones stay, those of an odd number of elements, and linear attention's.
    @Test(arguments: [
        ("llama", 2, 2), ("phi3", 2, 2), ("deepseek-v3", 2, 0), ("olmoe-clipped", 2, 0), ("qwen3-next", 3, 0),
    ])
    func valuesOfHeads(name: String, attentions: Int, rotatedAttentions: Int) throws {
        let fixture = try Fixture(name), found = try rotated(fixture).changed
        #expect((found.attentions, found.rotatedAttentions) == (attentions, rotatedAttentions))
        #expect(try rotated(fixture, WeightRotation(block: .exactly(8), heads: false)).changed.rotatedAttentions == 0)
    }

    @Test(arguments: ["gpt2", "opt", "gpt-neox", "bloom", "gptj", "falcon", "cohere", "gemma2", "gemma3", "deepseek-v32", "glm-moe-dsa"])
    func refused(name: String) throws {
        let architecture = try Fixture(name).architecture()
        #expect {
            try EquivalentArchitecture(architecture, try #require(Equivalence(rotation: WeightRotation(block: .exactly(2)))))
        } throws: { error in
            guard case .unsuited(_, let reason)? = error as? RotationError else { return false }
            return !reason.isEmpty
        }
    }

    /// Short vectors of latent attention are rotated between their linears and norms, in the largest blocks that they have.
    @Test func latents() throws {
        let fixture = try Fixture("deepseek-v3"), source = try rotated(fixture), stages = source.changed.architecture.blocks[0].stages
        let norms = stages.compactMap { $0.input.value.name.hasSuffix("_a_layernorm.weight") ? $0.input.value.name : nil }
        #expect(norms.count == 2)
        for norm in norms { #expect(Set(try source.matrix(norm).elements()) == [1]) }
        // Of the key that all heads share, which follows the latent vector, only the inputs are rotated.
        let linear = stages[0].linears[1], rank = stages[2].columns
        #expect(linear.name.hasSuffix("kv_a_proj_with_mqa") && rank < linear.rows)
        let gain = try fixture.source.matrix(stages[0].input.value.name).elements(), matrix = hadamard(24, block: 8)
        let (stored, found) = (try fixture.source.matrix(linear.weight), try source.matrix(linear.weight))
        for row in 0..<linear.rows {
            let isClose = (0..<24).allSatisfy { column in
                let expected = (0..<24).reduce(0.0) { $0 + Double(stored[row, $1]) * Double(gain[$1]) * matrix[$1][column] }
                return abs(Double(found[row, column]) - expected) <= 1e-6
            }
            #expect(isClose == (row >= rank))
        }
    }

    @Test func blocks() throws {
        // Hidden size 24.
        let architecture = try Fixture("llama").architecture()
        for size in [16, 24, 6, 1] {
            let changes = try #require(Equivalence(rotation: WeightRotation(block: .exactly(size))))
            #expect(throws: RotationError.block(size, hidden: 24, largest: 8)) { try EquivalentArchitecture(architecture, changes) }
        }
        let most = try #require(Equivalence(rotation: WeightRotation(block: .atMost(128))))
        let four = try #require(Equivalence(rotation: WeightRotation(block: .exactly(4))))
        #expect(throws: RotationError.noBlock(hidden: 24, largest: 8)) { try EquivalentArchitecture(architecture, most) }
        #expect(try EquivalentArchitecture(architecture, four).block == 4)
    }

    /// A block-diagonal matrix of normalised Hadamard matrices: the sign of an element is the parity of what its row and column have in common.
    private func hadamard(_ size: Int, block: Int) -> [[Double]] {
        (0..<size).map { row in
            (0..<size).map { column in
                row / block == column / block ? ((row & column & (block - 1)).nonzeroBitCount % 2 == 0 ? 1 : -1) / Double(block).squareRoot() : 0
            }
        }
    }

    /// A linear that reads the stream and one that writes to it, against products with whole matrices; any window has the bits of the whole.
    @Test func windowsAgreeWithWholeMatrices() throws {
        let fixture = try Fixture("llama"), source = try rotated(fixture, WeightRotation(block: .exactly(8), heads: false))
        let stages = source.changed.architecture.blocks[1].stages, hidden = 24, matrix = hadamard(hidden, block: 8)
        let (reader, writer) = (stages[2].linears[1], stages[3].linears[0])
        let gain = try fixture.source.matrix(stages[2].input.value.name).elements()
        let read = try fixture.source.matrix(reader.weight), written = try fixture.source.matrix(writer.weight)
        let (foundRead, foundWritten) = (try source.matrix(reader.weight), try source.matrix(writer.weight))
        for row in 0..<read.rows {
            for column in 0..<hidden {
                let expected = (0..<hidden).reduce(0.0) { $0 + Double(read[row, $1]) * Double(gain[$1]) * matrix[$1][column] }
                #expect(abs(Double(foundRead[row, column]) - expected) <= 1e-7 * max(1, abs(expected)))
            }
        }
        for row in 0..<hidden {
            for column in 0..<written.columns {
                let expected = (0..<hidden).reduce(0.0) { $0 + matrix[row][$1] * Double(written[$1, column]) }
                #expect(abs(Double(foundWritten[row, column]) - expected) <= 1e-7 * max(1, abs(expected)))
            }
        }
        for (rows, columns) in [(3..<4, 1..<2), (7..<9, 5..<17), (0..<24, 10..<11), (23..<24, 0..<24)] {
            for (weight, whole) in [(reader.weight, foundRead), (writer.weight, foundWritten)] {
                let window = Matrix<Float>(uninitialized: rows.count, columns.count)
                try source.rows(weight, rows.map { Int32($0) }, columns: columns, into: window)
                #expect(window.elements() == whole.rows(rows).columns(columns).elements())
            }
        }
    }
}
