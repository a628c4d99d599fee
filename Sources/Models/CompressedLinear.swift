// What the compressed linears of a checkpoint are, for people.

internal import Compression
internal import Failures
internal import Foundation
internal import JSON
internal import Packing
public import Safetensors

/// A compressed linear, or another quantized weight, as its checkpoint describes it.
public struct CompressedLinear: Codable, Sendable, Equatable {
    public var name: String
    public var format: String
    public var bits: Int
    /// Columns that share a scale; -1: all of a row.
    public var group: Int
    /// Rows that share a scale where these are blocks; -1: all, absent for groups in a row.
    public var groupRows: Int?
    public var symmetric: Bool
    public var rows: Int
    public var columns: Int
    /// Of numbers that are no integers; absent of others.
    public var type: String?
    /// All that stands for the linear, in bytes, where its length follows from its weights; absent of other formats.
    public var storedBytes: Int?

    /// The scheme in a few words: `gptq 4 bits g128 symmetric`.
    public var scheme: String {
        let scales = groupRows.map { $0 == -1 ? "by tensor" : "\($0) x \(group)" } ?? (group == -1 ? "by row" : "g\(group)")
        if let type { return "\(format) \(type) \(scales)" }
        return "\(format) \(bits) bits \(scales) \(symmetric ? "symmetric" : "asymmetric")"
    }
}

/// In which numbers clients of a model directory keep keys and values, in words; nil: in the model's.
public func cacheScheme(_ index: CheckpointIndex) throws -> String? { try weightReaders(index)?.cacheScheme }

/// nil where config.json is missing or describes a dense model.
private func weightReaders(_ index: CheckpointIndex) throws -> WeightReaders? {
    guard FileManager.default.fileExists(atPath: index.directory + "/config.json") else { return nil }
    let configuration = try JSONValue(configuration: readConfiguration(index.directory), of: index.directory)
    return try WeightReaders(configuration: configuration, source: index.directory)
}

/// The compressed linears of a model directory by name; none where config.json is missing or describes a dense model.
public func compressedLinears(_ index: CheckpointIndex) throws -> [CompressedLinear] {
    guard let readers = try weightReaders(index) else { return [] }
    let checkpoint = Checkpoint(index: index)
    let scaled: [CompressedLinear]
    do {
        scaled = try readers.scaled?.weights(checkpoint.names, module: { $0 }, checkpoint.description).map(CompressedLinear.init) ?? []
    } catch {
        throw PipelineError(.badInput, "\(index.directory): \(error)")
    }
    guard let packed = readers.codes.map({ PackedCheckpoint(reader: $0) }) else { return scaled }
    let own = Set(scaled.map(\.name))
    let codes = try checkpoint.names.filter { $0.hasSuffix(packed.reader.codesSuffix) }.map { String($0.dropLast(packed.reader.codesSuffix.count)) }
        .filter { !own.contains($0) }.map { name in
            let (options, shape) = try packed.examine(name, checkpoint)
            let isTernary = options.number == .ternary, hasEntries = isTernary || options.number == .spqr
            let bytes = packed.reader.parts(shape, options).reduce(0) { $0 + (checkpoint.description(name + $1.suffix)?.byteCount ?? 0) }
            return CompressedLinear(
                name: name, format: packed.reader.name, bits: options.bits, group: options.group, symmetric: options.symmetric, rows: shape.rows,
                columns: shape.columns, type: isTernary ? options.number.rawValue : nil, storedBytes: hasEntries ? bytes : nil)
        }
    return (codes + scaled).sorted { $0.name < $1.name }
}

extension CompressedLinear {
    fileprivate init(_ weight: ScaledWeight) {
        let isByRow = weight.blockRows == 1 && weight.blockColumns == weight.columns
        self.init(
            name: weight.tensor.hasSuffix(".weight") ? String(weight.tensor.dropLast(".weight".count)) : weight.tensor, format: weight.format,
            bits: weight.number.bits, group: weight.hasOneScale || isByRow ? -1 : weight.blockColumns,
            groupRows: weight.hasOneScale ? -1 : weight.blockRows == 1 ? nil : weight.blockRows, symmetric: weight.zeroPoints == nil,
            rows: weight.matrices * weight.rows, columns: weight.columns)
    }
}
