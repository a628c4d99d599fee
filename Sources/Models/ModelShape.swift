// A model known by its config.json alone: enough to plan for, before its weights are there.

internal import Compression
internal import Failures
internal import Foundation
internal import JSON
internal import Packing
public import Recipes
public import Safetensors
public import Sharding
public import Transformers

/// What a config.json says of a model's tensors.
public struct ModelShape: Sendable {
    /// The path of the config.json.
    public let path: String
    public let architecture: Architecture
    /// Every tensor, in the type that config.json names (BF16 where it names none).
    public let index: CheckpointIndex
    /// What the user should know of config.json: sentences.
    public let remarks: [String]

    /// Reads a config.json.
    /// - Parameter path: the file, or a directory that holds one.
    public init(path: String) throws {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw PipelineError(.missingInput, "\(path): no such file; a config.json, or a directory that holds one, is needed")
        }
        let file = isDirectory.boolValue ? path + "/config.json" : path
        let data = Data(try InputFile.json(of: file))
        self.path = file
        architecture = try Architecture(configuration: data, source: file)
        try PlanLimits.check(architecture)
        let quantization = try WeightReaders(configuration: JSONValue(configuration: [UInt8](data), of: file), source: file)
        remarks =
            try Architecture.remarks(on: data, source: file)
            + (quantization == nil ? [] : ["\(file) has weights in another form than the model's type: sizes of the source are those of plain weights"])
        let type = try Self.type(data, source: file)
        index = CheckpointIndex(
            planned: try architecture.expectedTensors().map { try TensorDescription(name: $0.name, type: type, shape: $0.shape) }, directory: file)
    }

    /// Whether a model directory holds a config.json and no weights.
    public static func isAll(of directory: String) -> Bool {
        let exists = { FileManager.default.fileExists(atPath: directory + "/" + $0) }
        return exists("config.json") && !exists(ShardIndex.singleFileName) && !exists(ShardIndex.fileName)
    }

    /// The plan of a recipe for this model; the recipe's files are not looked at.
    public func plan(_ recipe: Recipe) throws -> Plan {
        _ = try architecture.checkLengths(recipe)
        let own = try recipe.equivalence.map { try EquivalentArchitecture(architecture, $0).architecture }
        return try Plan(recipe: recipe, architecture: own ?? architecture) { _ in scaleType }
    }

    private var scaleType: ScaleType {
        switch index.tensors.values.first?.description.type {
        case .f32: .f32
        case .f16: .f16
        default: .bf16
        }
    }

    private static func type(_ configuration: Data, source: String) throws -> ElementType {
        let object = try? JSONSerialization.jsonObject(with: configuration) as? [String: Any]
        switch (object?["dtype"] ?? object?["torch_dtype"]) as? String {
        case nil, "bfloat16": return .bf16
        case "float16": return .f16
        case "float32": return .f32
        case let other?: throw PipelineError(.badInput, "\(source): the type \"\(other)\" of the weights is none of bfloat16, float16, float32")
        }
    }
}
