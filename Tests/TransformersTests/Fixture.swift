// Tiny random models with the logits that transformers computes for them (Tests/Compatibility/make_checkpoints.py writes them).

import Foundation
import LinearAlgebra
import Transformers

/// A model in two files: NAME.json (configuration, ids, where tensors lie) and NAME.bin (their fp32 numbers).
struct Fixture: Sendable, CustomStringConvertible {
    private struct Document: Decodable {
        let ids: [[Int32]]
        let tensors: [String: Tensor]
    }

    struct Tensor: Decodable {
        let shape: [Int]
        let offset: Int
    }

    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    let name: String
    /// The bytes of config.json.
    let configuration: Data
    let ids: [[Int32]]
    /// Of the model, with the last tokens' logits of each sequence.
    private let parameters: FixtureParameters
    let expected: [Matrix<Float>]

    var description: String { name }

    var shapes: [String: [Int]] { parameters.tensors.mapValues(\.shape).filter { !$0.key.hasPrefix("expected.") } }

    var source: any ParameterSource { parameters }

    init(_ name: String) throws {
        guard let folder = Bundle.module.url(forResource: "Fixtures", withExtension: nil) else {
            throw Problem(description: "the test bundle has no folder Fixtures")
        }
        try self.init(name, in: folder)
    }

    init(_ name: String, in folder: URL) throws {
        let json = try Data(contentsOf: folder.appendingPathComponent("\(name).json"))
        let document = try JSONDecoder().decode(Document.self, from: json)
        guard let object = try JSONSerialization.jsonObject(with: json) as? [String: Any], let configuration = object["configuration"] else {
            throw Problem(description: "\(name).json has no configuration")
        }
        self.name = name
        self.configuration = try JSONSerialization.data(withJSONObject: configuration)
        ids = document.ids
        let numbers = try Data(contentsOf: folder.appendingPathComponent("\(name).bin")).withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
            }
        }
        let parameters = FixtureParameters(tensors: document.tensors, numbers: numbers)
        self.parameters = parameters
        expected = try ids.indices.map { try parameters.matrix("expected.\($0)") }
    }

    func architecture() throws -> Architecture {
        try Architecture(configuration: configuration, source: "\(name).json", tensors: Set(shapes.keys))
    }

    func forward(_ compute: Compute) throws -> Forward {
        Forward(architecture: try architecture(), compute: compute, source: source)
    }
}

private struct FixtureParameters: ParameterSource {
    let tensors: [String: Fixture.Tensor]
    let numbers: [Float]

    func matrix(_ tensor: String) throws -> Matrix<Float> {
        guard let found = tensors[tensor] else { throw Fixture.Problem(description: "no tensor \(tensor)") }
        let isMatrix = found.shape.count == 2
        return matrix(found, isMatrix ? found.shape[0] : 1, isMatrix ? found.shape[1] : found.shape.reduce(1, *))
    }

    private func matrix(_ tensor: Fixture.Tensor, _ rows: Int, _ columns: Int) -> Matrix<Float> {
        Matrix(Array(numbers[tensor.offset..<tensor.offset + rows * columns]), rows, columns)
    }

    func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
        try rows(tensor, indices, columns: 0..<destination.columns, into: destination)
    }

    func rows(_ tensor: String, _ indices: [Int32], columns: Range<Int>, into destination: Matrix<Float>) throws {
        guard let found = tensors[tensor], let width = found.shape.last else { throw Fixture.Problem(description: "no tensor \(tensor)") }
        // Of three dimensions, as matrices one below the other.
        let whole = matrix(found, found.shape.dropLast().reduce(1, *), width)
        for (target, index) in indices.enumerated() {
            destination.rows(target..<target + 1).assign(whole.rows(Int(index)..<Int(index) + 1).columns(columns))
        }
    }
}

extension Forward {
    /// All blocks with the checkpoint's own weights.
    func run(_ sequences: [[Int32]]) throws -> BatchState {
        var state = try embed(sequences)
        for block in architecture.blocks {
            for stage in block.denseStages {
                let weights = try stage.linears.map { try loadWeights($0) }
                let input = try input(of: stage, state)
                try apply(stage, weights: weights, to: input, &state)
            }
            if let mixture = block.mixture { state.expertSum = try outputs(of: mixture, in: block, state) }
            finishBlock(&state)
        }
        return state
    }

    /// Every expert with its tokens.
    private func outputs(of mixture: Mixture, in block: Block, _ state: BatchState) throws -> ExpertSum {
        let input = try input(of: mixture, state)
        let route = try route(mixture, input)
        let sum = ExpertSum(residual: state.residual)
        for expert in 0..<mixture.experts {
            var tokens: [Int32] = [], weights: [Float] = []
            for token in 0..<route.tokens {
                for choice in 0..<route.chosen where route.experts[token, choice] == Int32(expert) {
                    tokens.append(Int32(token))
                    weights.append(route.weights[token, choice])
                }
            }
            var values = Operand(uninitialized: compute, tokens.count, input.columns)
            for (row, token) in tokens.enumerated() {
                let own = input.rows(Int(token)..<Int(token) + 1).widened().copy()
                if let weights = route.inputWeights { for column in 0..<own.columns { own[0, column] *= weights[Int(token), expert] } }
                values.rows(row..<row + 1).store(own)
            }
            for place in mixture.stages(of: expert) {
                let stage = block.stages[place]
                let weights = try stage.linears.map { try loadWeights($0) }
                values = result(of: stage, weights: stage.pieces.map { $0.parts.map { weights[$0.linear].rows($0.rows) } }, values, try context(of: stage))
            }
            guard case .f32(let outputs) = values else { throw Fixture.Problem(description: "outputs of an expert in bf16") }
            guard sum.add(outputs, tokens: tokens[...], weights: weights[...]) else { throw Fixture.Problem(description: "outputs beyond the sum") }
        }
        return sum
    }

    func logits(_ sequences: [[Int32]]) throws -> Matrix<Float> {
        try logits(try run(sequences), head: try loadWeights(architecture.head.linear))
    }
}

/// The largest absolute difference of two matrices of the same shape; infinite where one has NaN.
func largestDifference(_ a: Matrix<Float>, _ b: Matrix<Float>) -> Float {
    precondition(a.rows == b.rows && a.columns == b.columns)
    return zip(a.elements(), b.elements()).map { abs($0 - $1) }.map { $0.isNaN ? .infinity : $0 }.max() ?? 0
}
