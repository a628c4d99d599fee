// How compressed-tensors stores linears of one type of number: what differs between its formats.

internal import Compression
internal import JSON
internal import Safetensors

/// One of compressed-tensors' formats as it is written.
protocol CompressedTensorsStorage: Sendable {
    /// What config.json calls it.
    var format: String { get }

    /// Why clients of the format cannot read a linear; nil when they can.
    func refusal(_ linear: PackedLinear) -> String?

    /// Names begin with the linear's.
    func tensors(_ linear: PackedLinear) throws -> [TensorDescription]

    /// - Parameter part: what follows the linear's name in that of a tensor.
    func write(_ part: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws

    /// `weights` of the scheme.
    func weights(_ options: QuantizationOptions) -> JSONValue

    /// `input_activations` of the scheme; null where activations stay as they are.
    func activations(_ options: QuantizationOptions) -> JSONValue
}

/// `input_activations` that clients round as they come: to FP8 by token, to the types of MX in groups.
func dynamicActivations(_ type: NumberType) -> JSONValue {
    switch type {
    case .mxfp4, .mxfp8:
        quantizationArguments(bits: type == .mxfp4 ? 4 : 8, isFloat: true, strategy: "group", group: 32, dynamic: true, scaleType: "torch.uint8")
    default: quantizationArguments(bits: 8, isFloat: type != .int8, strategy: "token", dynamic: true)
    }
}

/// `weights` or `input_activations` of a scheme, with every key that clients know.
func quantizationArguments(
    bits: Int, isFloat: Bool, symmetric: Bool = true, strategy: String, group: Int? = nil, block: [Int]? = nil, dynamic: JSONValue = false,
    order: JSONValue = nil, scaleType: String? = nil
) -> JSONValue {
    var entries: [(key: String, value: JSONValue)] = [
        ("num_bits", .integer(bits)), ("type", isFloat ? "float" : "int"), ("symmetric", .boolean(symmetric)), ("strategy", .string(strategy)),
        ("group_size", group.map { .integer($0) } ?? .null), ("block_structure", block.map { .array($0.map { .integer($0) }) } ?? .null), ("dynamic", dynamic),
        ("actorder", order), ("observer", nil), ("observer_kwargs", [:]),
    ]
    if let scaleType { entries.append(("scale_dtype", .string(scaleType))) }
    return .object(entries)
}
