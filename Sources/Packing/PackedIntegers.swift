// compressed-tensors' `pack-quantized`: integer codes in words.

internal import Compression
internal import JSON
internal import Safetensors

/// Per linear: weight_packed [rows, words] I32, weight_scale [rows, groups], weight_shape [2] I64, and when asymmetric weight_zero_point
/// [words of rows, groups] I32, packed along the rows. Codes of 3 bits cross words, as clients read them from compressed-tensors 0.18 on.
///
/// Source: compressed-tensors, `compressors/pack_quantized`.
struct PackedIntegers: CompressedTensorsStorage {
    let format = "pack-quantized"

    func refusal(_ linear: PackedLinear) -> String? {
        let group = linear.group
        guard group > 0 && linear.columns % group != 0 else { return nil }
        return "its \(linear.columns) columns are not a multiple of the group of \(group), and clients expect whole groups; "
            + "use a group that divides \(linear.columns), or `format: dense`"
    }

    func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        var result = [
            try TensorDescription(
                name: linear.name + ".weight_packed", type: .i32, shape: [linear.rows, BitStream.wordCount(linear.columns, bits: linear.bits)]),
            try TensorDescription(name: linear.name + ".weight_scale", type: linear.sourceType, shape: [linear.rows, linear.groups]),
            try TensorDescription(name: linear.name + ".weight_shape", type: .i64, shape: [2]),
        ]
        if !linear.options.symmetric {
            result.append(
                try TensorDescription(
                    name: linear.name + ".weight_zero_point", type: .i32, shape: [BitStream.wordCount(linear.rows, bits: linear.bits), linear.groups]))
        }
        return result
    }

    func write(_ part: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        switch part {
        case ".weight_packed":
            for index in 0..<linear.tileCount { try tile(index).withCodeBytes(sink) }
        case ".weight_scale":
            for index in 0..<linear.tileCount {
                try writeNumbers(tile(index).scales(), as: linear.sourceType, to: sink)
            }
        case ".weight_shape":
            try [Int64(linear.rows).littleEndian, Int64(linear.columns).littleEndian].withUnsafeBytes(sink)
        case ".weight_zero_point":
            var zeros: [UInt8] = []
            for index in 0..<linear.tileCount { zeros += try tile(index).zeros() }
            try PackedZeros.pack(zeros, rows: linear.rows, groups: linear.groups, bits: linear.bits, transposed: true).withUnsafeBytes(sink)
        default:
            preconditionFailure("\(part) is no tensor of \(linear.name)")
        }
    }

    func weights(_ options: QuantizationOptions) -> JSONValue {
        quantizationArguments(
            bits: options.bits, isFloat: false, symmetric: options.symmetric, strategy: options.group > 0 ? "group" : "channel",
            group: options.group > 0 ? options.group : nil, order: options.actOrder && options.group > 0 ? "weight" : nil)
    }

    func activations(_ options: QuantizationOptions) -> JSONValue { options.activations == .none ? nil : dynamicActivations(options.activationType) }
}
