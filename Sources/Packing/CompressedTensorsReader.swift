// Reading compressed-tensors' `pack-quantized`.

public import Compression
public import JSON
public import Safetensors

/// The inverse of `CompressedTensorsFormat`; also reads the deprecated `weight_g_idx` of groups of permuted columns.
public struct CompressedTensorsReader: WeightReader {
    public let name = "compressed-tensors pack-quantized"
    public let codesSuffix = ".weight_packed"
    private let configuration: CompressedTensorsConfiguration

    /// - Parameter quantization: the `quantization_config` of config.json.
    public init(_ quantization: JSONValue) throws(PackingError) {
        configuration = try CompressedTensorsConfiguration(quantization)
    }

    /// Whether any linears are in this format.
    var hasSchemes: Bool { configuration.hasCodes }

    public var quantizesActivations: Bool { configuration.codes.contains { $0.activationType != nil } }

    public func options(_ linear: String, _ description: (String) -> TensorDescription?) throws(PackingError) -> QuantizationOptions {
        let scheme = try configuration.scheme(linear)
        let isPermuted = description(linear + ".weight_g_idx") != nil
        guard !isPermuted || scheme.order == .group else {
            throw PackingError(
                "tensor \(linear).weight_g_idx puts columns into groups, and config.json does not say `actorder: group`; clients would not look at it")
        }
        return QuantizationOptions(
            bits: scheme.bits, group: scheme.group, symmetric: scheme.symmetric, actOrder: scheme.order != .natural,
            staticGroups: scheme.order != .natural && !isPermuted, scaleType: try scaleType(linear + ".weight_scale", description),
            activationType: scheme.activationType)
    }

    public func expectsCodes(_ linear: String) -> Bool { configuration.compresses(linear) }

    public func parts(_ shape: LinearShape, _ options: QuantizationOptions) -> [PackedPart] {
        let groups = options.groupCount(columns: shape.columns)
        var parts = [
            PackedPart(".weight_packed", [.i32], [shape.rows, BitStream.wordCount(shape.columns, bits: options.bits)]),
            PackedPart(".weight_scale", Self.scaleTypes, [shape.rows, groups]), PackedPart(".weight_shape", [.i64], [2]),
            PackedPart(".weight_g_idx", [.i32], [shape.columns], optional: true),
        ]
        if !options.symmetric {
            parts.append(PackedPart(".weight_zero_point", [.i32], [BitStream.wordCount(shape.rows, bits: options.bits), groups]))
        }
        return parts
    }

    public func shape(_ linear: String, _ options: QuantizationOptions, in tensors: some TensorSource) throws -> LinearShape {
        let name = linear + ".weight_shape"
        guard let found = tensors.description(name), found.type == .i64, found.shape == [2] else {
            throw PackingError("tensor \(name) is missing or not I64 [2]")
        }
        let (rows, columns) = try tensors.withBytes(of: name, bytes: nil) { (integer($0, 0), integer($0, 1)) }
        // What a file's data says is not to be trusted: it must fit the tensor that it describes.
        let stored = tensors.description(linear + codesSuffix)?.shape ?? []
        guard stored.count == 2, rows == stored[0], columns > 0, (columns - 1) / 32 < stored[1] else {
            throw PackingError("\(name) says [\(rows), \(columns)], which does not fit weight_packed \(stored)")
        }
        return LinearShape(rows: rows, columns: columns)
    }

    private func integer(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int {
        Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)))
    }

    public func tile(
        _ linear: String, rows: Range<Int>, of shape: LinearShape, _ options: QuantizationOptions, in tensors: some TensorSource
    ) throws -> EncodedTile {
        let layout = TileLayout(rows: rows.count, columns: shape.columns, options: options)
        let groups = layout.groups
        var zeros: [UInt8]?
        if !options.symmetric {
            zeros = try tensors.withBytes(of: linear + ".weight_zero_point", bytes: nil) { bytes in
                PackedZeros.unpack(rows: rows, groups: groups, bits: options.bits) { word(bytes, $1 * groups + $0) }
            }
        }
        let groupOfColumn = try options.hasPermutedGroups ? groupIndex(linear + ".weight_g_idx", columns: shape.columns, groups: groups, in: tensors) : nil
        return try EncodedTile(layout, zeros: zeros, groupOfColumn: groupOfColumn) { words, scales in
            let width = layout.wordsPerRow * 4
            try tensors.withBytes(of: linear + codesSuffix, bytes: rows.lowerBound * width..<rows.upperBound * width) { bytes in
                UnsafeMutableRawBufferPointer(start: words, count: bytes.count).copyMemory(from: bytes)
            }
            let scaleBytes = options.scaleType.elementType.bits / 8 * groups
            try tensors.withBytes(of: linear + ".weight_scale", bytes: rows.lowerBound * scaleBytes..<rows.upperBound * scaleBytes) { bytes in
                readNumbers(bytes, options.scaleType, count: rows.count * groups, into: scales)
            }
        }
    }
}
