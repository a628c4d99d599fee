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
        let rows = found.shape.count == 2 ? found.shape[0] : 1
        let columns = found.shape[found.shape.count - 1]
        return Matrix(Array(numbers[found.offset..<found.offset + rows * columns]), rows, columns)
    }

    func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
        let whole = try matrix(tensor)
        for (target, index) in indices.enumerated() {
            destination.rows(target..<target + 1).assign(whole.rows(Int(index)..<Int(index) + 1))
        }
    }
}

extension Forward {
    /// All blocks with the checkpoint's own weights.
    func run(_ sequences: [[Int32]]) throws -> BatchState {
        var state = try embed(sequences)
        for block in architecture.blocks {
            for stage in block.stages {
                let weights = try stage.linears.map { try loadWeights($0) }
                let input = try input(of: stage, state)
                try apply(stage, weights: weights, to: input, &state)
            }
            finishBlock(&state)
        }
        return state
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
