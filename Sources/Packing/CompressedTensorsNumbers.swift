// One of compressed-tensors' `config_groups` whose weights are stored as numbers times scales, and not as packed integers.

internal import JSON
internal import Safetensors

/// Numbers by tensor, row, group or block.
///
/// Source: compressed-tensors, `compressors/` for the tensors, `quantization/quant_args.py` for the keys.
struct CompressedTensorsNumbers: Sendable, Hashable {
    enum Storage: Sendable, Hashable {
        /// `weight` in F8_E4M3 or I8.
        case float8, int8
        /// `weight_packed` with exponents as scales, or with scales in F8_E4M3 beside one of the tensor.
        case mxfp4, nvfp4
    }

    let storage: Storage
    /// Rows and columns of a block; nil: all.
    let blockRows: Int?
    let blockColumns: Int?
    /// Whether the stored numbers have no zero point.
    let symmetric: Bool
    let quantizesActivations: Bool
    let format: String

    /// The formats of such groups.
    static let formats: Set = [
        "float-quantized", "naive-quantized", "int-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "nvfp4-pack-quantized",
    ]

    /// - Parameters:
    ///   - value: a group.
    ///   - format: what group or checkpoint call the format, where they do.
    /// - Returns: nil for a group whose weights are packed integers, or left as they are.
    init?(_ value: JSONValue, format: String?, place: String) throws(PackingError) {
        guard let weights = value["weights"], let entries = weights.object else { return nil }
        let isFloat = weights["type"]?.string?.lowercased() == "float"
        guard isFloat || format.map(Self.formats.contains) == true else { return nil }
        for (key, entry) in value.object ?? [] where !entry.saysNothing && !["targets", "weights", "input_activations", "format"].contains(key) {
            guard key == "output_activations" else {
                throw PackingError("`\(place).\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
            throw PackingError("`\(place).output_activations` asks for quantized outputs, which Cleave does not compute")
        }
        for (key, entry) in entries where !entry.saysNothing {
            switch key {
            case "num_bits", "symmetric", "strategy", "group_size", "block_structure", "type", "actorder", "observer", "observer_kwargs", "scale_dtype",
                "zp_dtype":
                break
            case "dynamic":
                guard entry.boolean == false else {
                    throw PackingError("`\(place).weights.dynamic` is `\(entry.plainText)`; scales that are stored can be read")
                }
            default: throw PackingError("`\(place).weights.\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        let bits = weights["num_bits"]?.integer ?? 8, strategy = Self.strategy(weights), size = weights["group_size"]?.integer
        func refusal() -> PackingError {
            PackingError(
                "`\(place).weights` has \(bits) bits, type `\(weights["type"]?.plainText ?? "int")`, strategy `\(strategy)`, group_size "
                    + "\(size.map(String.init) ?? "none")\(format.map { " in format `\($0)`" } ?? ""), which cannot be read")
        }
        switch (isFloat, bits, strategy, format) {
        case (true, 4, "group", nil) where size == 32, (true, 4, "group", "mxfp4-pack-quantized") where size == 32: storage = .mxfp4
        case (true, 4, "tensor_group", nil) where size == 16, (true, 4, "tensor_group", "nvfp4-pack-quantized") where size == 16: storage = .nvfp4
        case (true, 8, _, nil), (true, 8, _, "float-quantized"), (true, 8, _, "naive-quantized"): storage = .float8
        case (true, 8, "group", "mxfp8-quantized") where size == 32: storage = .float8
        case (false, 1...8, _, "int-quantized"), (false, 1...8, _, "naive-quantized"): storage = .int8
        default: throw refusal()
        }
        let blocks = weights["block_structure"]?.array?.map { $0.integer ?? 0 } ?? []
        switch strategy {
        case "tensor": (blockRows, blockColumns) = (nil, nil)
        case "channel": (blockRows, blockColumns) = (1, nil)
        case "group", "tensor_group":
            guard let size, (1...largestGroup).contains(size) else { throw refusal() }
            (blockRows, blockColumns) = (1, size)
        case "block":
            guard blocks.count == 2, blocks.allSatisfy({ (1...largestGroup).contains($0) }) else {
                throw PackingError("`\(place).weights` has the strategy `block`, but no `block_structure` of rows and columns")
            }
            (blockRows, blockColumns) = (blocks[0], blocks[1])
        default: throw refusal()
        }
        guard let symmetric = weights["symmetric"].map(\.boolean) ?? true, symmetric || storage == .int8 else {
            throw PackingError("`\(place).weights.symmetric` is `\(weights["symmetric"]?.plainText ?? "null")`; what can be read is true")
        }
        self.symmetric = symmetric
        quantizesActivations = !(value["input_activations"]?.saysNothing ?? true)
        let usual: [Storage: String] = [.float8: "float-quantized", .int8: "int-quantized", .mxfp4: "mxfp4-pack-quantized", .nvfp4: "nvfp4-pack-quantized"]
        self.format = "compressed-tensors " + (format ?? usual[storage] ?? "")
    }

    /// Left out, the strategy follows from the size.
    private static func strategy(_ weights: JSONValue) -> String {
        if let strategy = weights["strategy"]?.string { return strategy.lowercased() }
        guard let size = weights["group_size"]?.integer else { return "tensor" }
        return size == -1 ? "channel" : "group"
    }
}
