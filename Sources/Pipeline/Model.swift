// A model directory, opened: its configuration, its index, and the weights by name.

internal import Foundation
public import LinearAlgebra
public import MessagePassing
public import Recipes
public import Safetensors
public import Transformers
internal import Packing

/// A Hugging Face model directory. The coordinator reads its metadata and broadcasts it; every rank reads weights by itself.
public final class Model: Sendable {
    public let path: String
    public let architecture: Architecture
    /// The bytes of config.json.
    public let configuration: [UInt8]
    public let checkpoint: Checkpoint
    /// How weights are read.
    let reading: WeightReading
    /// Compressed linears; nil when the directory holds none.
    let quantization: PackedCheckpoint?

    private struct Metadata: Codable {
        var configuration: [UInt8]
        var index: CheckpointIndex
    }

    /// Opens a directory on all ranks and checks that every tensor the model needs is there, with its shape and a readable type.
    public init(path: String, reading: WeightReading, world: Communicator) throws {
        self.path = path
        self.reading = reading
        let metadata = try world.fromCoordinator(exitCode: exitCode) {
            let configuration = try Self.readConfiguration(path)
            // A kind of model that is refused is said before what its directory lacks.
            _ = try Architecture(configuration: Data(configuration), source: path + "/config.json")
            let index = try CheckpointIndex(directory: path)
            let architecture = try Architecture(configuration: Data(configuration), source: path + "/config.json", tensors: Set(index.tensors.keys))
            try Self.check(architecture, index, Self.quantization(configuration, path, architecture))
            return Metadata(configuration: configuration, index: index)
        }
        configuration = metadata.configuration
        checkpoint = Checkpoint(index: metadata.index, access: reading == .pread ? .pread : .mapped)
        architecture = try Architecture(
            configuration: Data(configuration), source: path + "/config.json", tensors: Set(metadata.index.tensors.keys))
        quantization = try Self.quantization(configuration, path, architecture)
    }

    private static func quantization(_ configuration: [UInt8], _ path: String, _ architecture: Architecture) throws -> PackedCheckpoint? {
        var result = try PackedCheckpoint(configuration: configuration, source: path)
        result?.transposed = Set(architecture.linears.filter { $0.layout == .columnsByRows }.map(\.weight))
        return result
    }

    private static func readConfiguration(_ path: String) throws -> [UInt8] {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw PipelineError(.missingInput, "\(path): no such model directory")
        }
        guard isDirectory.boolValue else { throw PipelineError(.missingInput, "\(path) is a file; a Hugging Face model directory is needed") }
        guard let data = FileManager.default.contents(atPath: path + "/config.json") else {
            throw PipelineError(.missingInput, "\(path)/config.json is missing: this is no Hugging Face model directory, or one that is not finished")
        }
        return [UInt8](data)
    }

    private static func check(_ architecture: Architecture, _ index: CheckpointIndex, _ quantization: PackedCheckpoint?) throws {
        for expected in architecture.expectedTensors() {
            if let found = index.tensors[expected.name] {
                guard found.description.shape == expected.shape else {
                    throw PipelineError(
                        .badInput, "\(index.directory): tensor \(expected.name) has shape \(found.description.shape), config.json says \(expected.shape)")
                }
                guard [.f32, .f16, .bf16].contains(found.description.type) else {
                    throw PipelineError(
                        .badInput, "\(index.directory): tensor \(expected.name) is of type \(found.description.type.rawValue); F32, F16 or BF16 is needed")
                }
            } else if let quantization, expected.name.hasSuffix(".weight"), quantization.holds(expected.name, index) {
                try quantization.check(expected.name, shape: expected.shape, index)
            } else {
                throw PipelineError(
                    .badInput, "\(index.directory): tensor \(expected.name) \(expected.shape) is missing from the checkpoint, config.json calls for it")
            }
        }
    }

    /// Weights of this directory by tensor name.
    public var parameters: CheckpointParameters { CheckpointParameters(checkpoint: checkpoint, quantization: quantization) }
}

extension Architecture {
    /// The linears of all blocks, in the order of the model.
    var linears: [Linear] { (0..<blockCount).flatMap { block($0).stages.flatMap(\.linears) } }
}

/// The tensors of a checkpoint as fp32 matrices.
public struct CheckpointParameters: ParameterSource {
    let checkpoint: Checkpoint
    let quantization: PackedCheckpoint?

    /// A tensor of one or two dimensions; one dimension comes as [1, n].
    public func matrix(_ tensor: String) throws -> Matrix<Float> {
        if let quantization, checkpoint.index.tensors[tensor] == nil {
            return try quantization.dequantize(tensor, checkpoint)
        }
        let (_, rows, columns) = try shape(tensor)
        return try read(tensor, rows: 0..<rows, columns: columns)
    }

    /// Some rows of a two-dimensional tensor, as it is stored.
    public func matrix(_ tensor: String, rows: Range<Int>) throws -> Matrix<Float> {
        let (_, _, columns) = try shape(tensor)
        return try read(tensor, rows: rows, columns: columns)
    }

    public func rows(_ tensor: String, _ indices: [Int32], into destination: Matrix<Float>) throws {
        if let quantization, checkpoint.index.tensors[tensor] == nil, let first = indices.min(), let last = indices.max() {
            let window = try quantization.dequantize(tensor, rows: Int(first)..<Int(last) + 1, checkpoint)
            for (position, index) in indices.enumerated() {
                destination.rows(position..<position + 1).assign(window.rows(Int(index - first)..<Int(index - first) + 1))
            }
            return
        }
        let (_, rows, columns) = try shape(tensor)
        precondition(destination.rows == indices.count && destination.columns == columns, "\(indices.count) rows of \(columns) columns")
        for (position, index) in indices.enumerated() {
            guard index >= 0, index < rows else { throw PipelineError(.badInput, "row \(index) of tensor \(tensor), which has \(rows)") }
            try copy(tensor, rows: Int(index)..<Int(index) + 1, columns: columns, into: destination.row(position))
        }
    }

    private func shape(_ tensor: String) throws -> (ElementType, rows: Int, columns: Int) {
        guard let found = checkpoint.index.tensors[tensor] else {
            throw PipelineError(.badInput, "\(checkpoint.index.directory): tensor \(tensor) is missing from the checkpoint")
        }
        switch found.description.shape.count {
        case 1: return (found.description.type, 1, found.description.shape[0])
        case 2: return (found.description.type, found.description.shape[0], found.description.shape[1])
        default: throw PipelineError(.badInput, "\(checkpoint.index.directory): tensor \(tensor) has shape \(found.description.shape), not 1 or 2 dimensions")
        }
    }

    private func read(_ tensor: String, rows: Range<Int>, columns: Int) throws -> Matrix<Float> {
        let result = Matrix<Float>(uninitialized: rows.count, columns)
        try copy(tensor, rows: rows, columns: columns, into: result.base)
        return result
    }

    private func copy(_ tensor: String, rows: Range<Int>, columns: Int, into destination: UnsafeMutablePointer<Float>) throws {
        let (type, _, _) = try shape(tensor)
        let width = type.bits / 8 * columns
        try checkpoint.withBytes(of: tensor, bytes: rows.lowerBound * width..<rows.upperBound * width) { bytes in
            try widen(bytes, type, count: rows.count * columns, into: destination, name: tensor)
        }
    }
}

/// Widens numbers as they lie in a file to fp32.
func widen(_ bytes: UnsafeRawBufferPointer, _ type: ElementType, count: Int, into destination: UnsafeMutablePointer<Float>, name: String) throws {
    guard count > 0, let source = bytes.baseAddress else { return }
    switch type {
    case .f32: UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
    case .bf16: Numbers.widen(bfloat16: source.assumingMemoryBound(to: UInt16.self), into: destination, count: count)
    case .f16: Numbers.widen(float16: source.assumingMemoryBound(to: UInt16.self), into: destination, count: count)
    default: throw PipelineError(.badInput, "tensor \(name) is of type \(type.rawValue); F32, F16 or BF16 is needed")
    }
}
