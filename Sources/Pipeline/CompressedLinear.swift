// What the compressed linears of a checkpoint are, for people.

internal import Compression
internal import Foundation
internal import Packing
public import Safetensors

/// A compressed linear as its checkpoint describes it.
public struct CompressedLinear: Codable, Sendable, Equatable {
    public var name: String
    public var format: String
    public var bits: Int
    /// -1: one group a row.
    public var group: Int
    public var symmetric: Bool
    public var rows: Int
    public var columns: Int

    /// The scheme in a few words: `gptq 4 bits g128 symmetric`.
    public var scheme: String { "\(format) \(bits) bits \(group == -1 ? "by row" : "g\(group)") \(symmetric ? "symmetric" : "asymmetric")" }
}

/// The compressed linears of a model directory by name; none where config.json is missing or describes a dense model.
public func compressedLinears(_ index: CheckpointIndex) throws -> [CompressedLinear] {
    let path = index.directory + "/config.json"
    guard let configuration = FileManager.default.contents(atPath: path),
        let packed = try PackedCheckpoint(configuration: [UInt8](configuration), source: path)
    else { return [] }
    let checkpoint = Checkpoint(index: index)
    return try checkpoint.names.filter { $0.hasSuffix(packed.reader.codesSuffix) }.map { tensor in
        let name = String(tensor.dropLast(packed.reader.codesSuffix.count))
        let (options, shape) = try packed.examine(name, checkpoint)
        return CompressedLinear(
            name: name, format: packed.reader.name, bits: options.bits, group: options.group, symmetric: options.symmetric, rows: shape.rows,
            columns: shape.columns)
    }
}
