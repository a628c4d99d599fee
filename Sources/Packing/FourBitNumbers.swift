// compressed-tensors' `mxfp4-pack-quantized` and `nvfp4-pack-quantized`: two weights to a byte.

internal import Compression
internal import JSON
internal import LinearAlgebra
internal import Safetensors

/// Per linear: weight_packed [rows, columns / 2] U8, the even column in the lower half, and weight_scale: of MXFP4 [rows, columns / 32] U8, exponents plus 127;
/// of NVFP4 [rows, columns / 16] F8_E4M3, with weight_global_scale [1] F32, by which clients divide them. With static activations NVFP4 has also
/// input_global_scale [1] F32, by which they multiply the scales that they find of each 16 inputs.
///
/// Source: compressed-tensors, `compressors/mxfp4`, `compressors/nvfp4`.
struct FourBitNumbers: CompressedTensorsStorage {
    /// mxfp4 or nvfp4.
    let number: NumberType

    var format: String { number == .mxfp4 ? "mxfp4-pack-quantized" : "nvfp4-pack-quantized" }

    func refusal(_ linear: PackedLinear) -> String? { wholeGroupsRefusal(linear) }

    func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        var result = [
            try TensorDescription(name: linear.name + ".weight_packed", type: .u8, shape: [linear.rows, linear.columns / 2]),
            try TensorDescription(name: linear.name + ".weight_scale", type: number == .mxfp4 ? .u8 : .f8e4m3, shape: [linear.rows, linear.groups]),
        ]
        if number == .nvfp4 { result.append(try TensorDescription(name: linear.name + ".weight_global_scale", type: .f32, shape: [1])) }
        if linear.options.activations == .static { result.append(try TensorDescription(name: linear.name + ".input_global_scale", type: .f32, shape: [1])) }
        return result
    }

    func write(_ part: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        switch part {
        case ".weight_packed":
            // Whole groups fill whole words.
            for index in 0..<linear.tileCount { try tile(index).withCodeBytes(sink) }
        case ".weight_scale":
            for index in 0..<linear.tileCount {
                let tile = try tile(index), scales = tile.scales()
                guard number == .nvfp4 else {
                    try writeExponents(scales, to: sink)
                    continue
                }
                // What was divided is multiplied: the rounding of both is far below a step of E4M3.
                let bytes = (0..<scales.rows).flatMap { row in (0..<scales.columns).map { Float8.code(scales[row, $0] * tile.divisor) } }
                try bytes.withUnsafeBytes(sink)
            }
        case ".weight_global_scale":
            try [tile(0).divisor.bitPattern.littleEndian].withUnsafeBytes(sink)
        case ".input_global_scale":
            // As that of the weight: the largest scale of a group becomes the largest number of E4M3.
            try [(number.rules?.divisor(tile(0).inputMagnitude ?? 0) ?? 1).bitPattern.littleEndian].withUnsafeBytes(sink)
        default: preconditionFailure("\(part) is no tensor of \(linear.name)")
        }
    }

    func weights(_ options: QuantizationOptions) -> JSONValue { arguments(options, dynamic: false) }

    /// Of NVFP4 clients find the scales of groups as inputs come, below the one that is stored.
    func activations(_ options: QuantizationOptions) -> JSONValue {
        switch options.activations {
        case .none: nil
        case .static: arguments(options, dynamic: "local")
        case .dynamic: dynamicActivations(options.activationType)
        }
    }

    private func arguments(_ options: QuantizationOptions, dynamic: JSONValue) -> JSONValue {
        quantizationArguments(
            bits: 4, isFloat: true, strategy: number == .mxfp4 ? "group" : "tensor_group", group: options.group, dynamic: dynamic,
            scaleType: number == .mxfp4 ? "torch.uint8" : "torch.float8_e4m3fn")
    }
}
