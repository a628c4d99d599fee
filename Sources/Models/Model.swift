// A model directory, opened: its configuration, its index, and the weights by name.

internal import Failures
internal import Foundation
internal import JSON
package import LinearAlgebra
public import MessagePassing
internal import Packing
public import Recipes
public import Safetensors
public import Transformers

/// A Hugging Face model directory. The coordinator reads its metadata and broadcasts it; every rank reads weights by itself.
public final class Model: Sendable {
    public let path: String
    public let architecture: Architecture
    /// The bytes of config.json.
    public let configuration: [UInt8]
    public let checkpoint: Checkpoint
    /// How weights are read.
    package let reading: WeightReading
    /// The checkpoint's tensors as the dense model has them.
    package let tensors: SourceTensors
    /// The same before they became those of another model of the same function.
    private let stored: SourceTensors
    /// Whether the head is not the embedding, though config.json ties them: the checkpoint has one of its own, or they are rotated.
    package let isUntied: Bool
    /// How the weights were changed, where they were.
    package let equivalent: EquivalentArchitecture?
    /// What the user should know of the directory: sentences, on the coordinator alone.
    public let remarks: [String]

    private struct Metadata: Codable {
        var configuration: [UInt8]
        var index: CheckpointIndex
        var isUntied: Bool
    }

    /// Opens a directory on all ranks and checks that every tensor the model needs is there, with its shape and a readable type.
    ///
    /// - Parameters:
    ///   - equivalence: makes it another model of the same function.
    ///   - keepsPredictors: whether a result will have the blocks that predict further tokens, for remarks.
    public init(path: String, reading: WeightReading, equivalence: Equivalence? = nil, keepsPredictors: Bool = true, world: Communicator) throws {
        self.path = path
        self.reading = reading
        var remarks: [String] = []
        let metadata = try world.fromCoordinator(exitCode: exitCode) {
            let configuration = try readConfiguration(path)
            let (data, source) = (Data(configuration), path + "/config.json")
            // A kind of model that is refused is said before what its directory lacks.
            let family = try Architecture(configuration: data, source: source).family
            let index = try CheckpointIndex(gguf: path, modelType: family) ?? CheckpointIndex(directory: path)
            let plain = try Architecture(configuration: data, source: source, tensors: Set(index.tensors.keys))
            let isUntied = try plain.hasOwnHead(index)
            let architecture = isUntied ? plain.untied() : plain
            let tensors = try Self.tensors(index, architecture, configuration)
            try checkPacking(tensors, architecture)
            let classRemarks = try Architecture.remarks(on: data, source: source)
            do {
                try Self.check(architecture, tensors)
            } catch let error as PipelineError {
                // A file of another task lacks the head, say.
                throw PipelineError(error.kind, ([error.description] + classRemarks).joined(separator: "; "))
            }
            let equivalent = try equivalence.map { try EquivalentArchitecture(architecture, $0) }
            let read = try equivalent.map(tensors.equivalent) ?? tensors
            let kept = keepsPredictors ? read : read.withoutPredictors(architecture.names)
            remarks =
                classRemarks + index.remarks + architecture.remarks(on: kept, isUntied: isUntied)
                + (equivalent?.remarks(tensors) ?? [])
            return Metadata(configuration: configuration, index: index, isUntied: isUntied)
        }
        self.remarks = remarks
        configuration = metadata.configuration
        checkpoint = Checkpoint(index: metadata.index, access: reading == .pread ? .pread : .mapped)
        let architecture = try Architecture(
            configuration: Data(configuration), source: path + "/config.json", tensors: Set(metadata.index.tensors.keys))
        let own = metadata.isUntied ? architecture.untied() : architecture
        stored = try Self.tensors(metadata.index, own, configuration)
        equivalent = try equivalence.map { try EquivalentArchitecture(own, $0) }
        self.architecture = equivalent?.architecture ?? own
        var tensors = try equivalent.map(stored.equivalent) ?? stored
        if let equivalent, !equivalent.channels.isEmpty { tensors.channels = MeasuredChannels() }
        self.tensors = tensors
        isUntied = metadata.isUntied || equivalent?.embeddingOfHead != nil
    }

    /// Measures by how much channels are scaled, where they are: reads the weights that read them, once. Collective, and needed before any number is read.
    package func measureChannels(world: Communicator) throws {
        guard let equivalent, let channels = tensors.channels, channels.scales == nil else { return }
        channels.scales = try ChannelScales(equivalent.channels, stored, checkpoint, world: world)
    }

    private static func tensors(_ index: CheckpointIndex, _ architecture: Architecture, _ configuration: [UInt8]) throws -> SourceTensors {
        let configuration = try JSONValue(configuration: configuration, of: index.directory)
        let readers = try WeightReaders(configuration: configuration, source: index.directory)
        if index.isGGUF {
            return try SourceTensors(gguf: index, architecture, type: WeightReaders.numberType(configuration)?.elementType ?? .bf16)
        }
        return try SourceTensors(
            index, architecture, configuration: configuration, readers, readers?.codes.map { PackedCheckpoint(reader: $0, architecture) })
    }

    private static func check(_ architecture: Architecture, _ tensors: SourceTensors) throws {
        let directory = tensors.index.directory
        for expected in architecture.expectedTensors() {
            guard let found = tensors[expected.name] else {
                let isHead = expected.name == architecture.head.own.weight
                throw PipelineError(
                    .badInput,
                    "\(directory): tensor \(expected.name) \(expected.shape) is missing from the checkpoint, config.json calls for it"
                        + (isHead ? " (`tie_word_embeddings: true` in it makes the embedding the head)" : ""))
            }
            // Those of codes say more of what is wrong.
            if case .packed = found.storage { try tensors.packed?.check(expected.name, shape: expected.shape, tensors.index) }
            let description = found.description
            guard description.shape == expected.shape else {
                throw PipelineError(.badInput, "\(directory): tensor \(expected.name) has shape \(description.shape), config.json says \(expected.shape)")
            }
            guard [.f32, .f16, .bf16].contains(description.type.ofWeights) else {
                throw PipelineError(
                    .badInput, "\(directory): tensor \(expected.name) is of type \(description.type.rawValue); F64, F32, F16 or BF16 is needed")
            }
        }
    }

    /// Bytes of addresses that the files take while they are mapped.
    public var mappedBytes: Int { reading == .pread ? 0 : checkpoint.index.files.reduce(0) { $0 + $1.byteCount } }

    /// Looks at the files of weights again.
    /// - Throws: an `AgreedFailure` with exit code 65 naming one that has changed since this model was opened: what was read of it may be anything.
    package func checkUnchanged(_ world: Communicator) throws {
        try world.onCoordinator(exitCode: exitCode) { try checkpoint.checkUnchanged() }
    }

    /// Weights of this directory by tensor name.
    public var parameters: CheckpointParameters { CheckpointParameters(checkpoint: checkpoint, tensors: tensors) }

    /// Some rows of a linear's weight: [rows.count, columns]
    package func weightRows(_ linear: Linear, _ rows: Range<Int>) throws -> Matrix<Float> {
        let weights = Matrix<Float>(uninitialized: rows.count, linear.columns)
        try parameters.rows(of: linear, rows, into: weights)
        return weights
    }
}

extension ElementType {
    /// The type in which weights of this type are computed with, and stored in a result: F32 for F64.
    package var ofWeights: ElementType { self == .f64 ? .f32 : self }
}

extension Architecture {
    /// The linears of all blocks, in the order of the model.
    package var linears: [Linear] { (0..<blockCount).flatMap { block($0).stages.flatMap(\.linears) } }
}
