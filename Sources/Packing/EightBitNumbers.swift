// compressed-tensors' `float-quantized`, `int-quantized` and `mxfp8-quantized`: a byte for each weight.

internal import Compression
internal import JSON
internal import LinearAlgebra
internal import Safetensors

/// Per linear: weight [rows, columns] F8_E4M3 or I8, weight_scale: of rows [rows, 1], of the tensor [1], of blocks [rows / 128, columns / 128] rounded up, in the
/// weights' type; of MXFP8 [rows, columns / 32] U8, exponents plus 127. With static activations also input_scale [1] in the weights' type: what the largest
/// number of the type stands for is the largest input.
///
/// Source: compressed-tensors, `compressors/naive_quantized`, `compressors/mxfp8`.
struct EightBitNumbers: CompressedTensorsStorage {
    /// fp8, int8 or mxfp8.
    let number: NumberType

    var format: String {
        switch number {
        case .int8: "int-quantized"
        case .mxfp8: "mxfp8-quantized"
        default: "float-quantized"
        }
    }

    func refusal(_ linear: PackedLinear) -> String? {
        // Clients cut activations into groups of as many columns.
        linear.group > 0 ? wholeGroupsRefusal(linear) : nil
    }

    func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        let shape =
            switch linear.options.strategy {
            case .tensor: [1]
            case .block: [(linear.rows + scaleBlock - 1) / scaleBlock, linear.groups]
            case .channel, .group: [linear.rows, linear.groups]
            }
        var result = [
            try TensorDescription(name: linear.name + ".weight", type: number == .int8 ? .i8 : .f8e4m3, shape: [linear.rows, linear.columns]),
            try TensorDescription(name: linear.name + ".weight_scale", type: number == .mxfp8 ? .u8 : linear.sourceType, shape: shape),
        ]
        if linear.options.activations == .static {
            result.append(try TensorDescription(name: linear.name + ".input_scale", type: linear.sourceType, shape: [1]))
        }
        return result
    }

    func write(_ part: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        switch part {
        case ".weight":
            for index in 0..<linear.tileCount { try write(codes: tile(index), to: sink) }
        case ".weight_scale":
            let strategy = linear.options.strategy
            // The tiles of a tensor have one scale.
            for index in strategy == .tensor ? 0..<1 : 0..<linear.tileCount {
                let scales = try tile(index).scales()
                let rows = Array(stride(from: 0, to: strategy == .tensor ? 1 : scales.rows, by: strategy == .block ? scaleBlock : 1))
                let stored = Matrix<Float>(uninitialized: rows.count, scales.columns)
                for (place, row) in rows.enumerated() { stored.row(place).update(from: scales.row(row), count: scales.columns) }
                if number == .mxfp8 { try writeExponents(stored, to: sink) } else { try writeNumbers(stored, as: linear.sourceType, to: sink) }
            }
        case ".input_scale":
            // scale = max |x| / reach
            let magnitude = try tile(0).inputMagnitude ?? 0
            let scale = Matrix<Float>(repeating: magnitude > 0 ? magnitude / (number.rules?.reach ?? 1) : 1, 1, 1)
            try writeNumbers(scale, as: linear.sourceType, to: sink)
        default: preconditionFailure("\(part) is no tensor of \(linear.name)")
        }
    }

    /// A row's codes end where its words may have bytes to spare. Those of integers are counted from 128.
    private func write(codes tile: EncodedTile, to sink: TensorSink) throws {
        let (rows, columns, stride) = (tile.layout.rows, tile.layout.columns, tile.layout.wordsPerRow * 4)
        let middle: UInt8 = number == .int8 ? 128 : 0
        try tile.withCodeBytes { bytes in
            guard stride != columns || middle != 0 else { return try sink(bytes) }
            var codes = [UInt8](repeating: 0, count: rows * columns)
            for row in 0..<rows { for column in 0..<columns { codes[row * columns + column] = bytes[row * stride + column] ^ middle } }
            try codes.withUnsafeBytes(sink)
        }
    }

    func weights(_ options: QuantizationOptions) -> JSONValue {
        let isGroup = options.strategy == .group
        return quantizationArguments(
            bits: 8, isFloat: number != .int8, strategy: options.strategy.rawValue, group: isGroup ? options.group : nil,
            block: options.strategy == .block ? [scaleBlock, scaleBlock] : nil, scaleType: number == .mxfp8 ? "torch.uint8" : nil)
    }

    func activations(_ options: QuantizationOptions) -> JSONValue {
        let isFloat = number != .int8
        return switch (options.activations, options.strategy) {
        case (.none, _): nil
        case (.static, _): quantizationArguments(bits: 8, isFloat: isFloat, strategy: "tensor")
        case (.dynamic, .block): quantizationArguments(bits: 8, isFloat: true, strategy: "group", group: scaleBlock, dynamic: true)
        case (.dynamic, .group), (.dynamic, .channel), (.dynamic, .tensor): dynamicActivations(number)
        }
    }
}

/// Why a linear has no whole groups; nil when it has.
func wholeGroupsRefusal(_ linear: PackedLinear) -> String? {
    guard linear.columns % linear.group != 0 else { return nil }
    return "its \(linear.columns) columns are not a multiple of \(linear.group), the group of `type: \(linear.options.number.rawValue)`, and clients "
        + "expect whole groups; use another type for it, or `format: dense`"
}

/// Scales that are powers of two as bytes: their exponents plus 127.
func writeExponents(_ scales: Matrix<Float>, to sink: TensorSink) throws {
    let bytes = (0..<scales.rows).flatMap { row in (0..<scales.columns).map { UInt8(scales[row, $0].bitPattern >> 23) } }
    try bytes.withUnsafeBytes(sink)
}
