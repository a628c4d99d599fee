// compressed-tensors' `pack-quantized`, as vLLM and transformers load it.

public import JSON
public import Safetensors
internal import Compression
internal import LinearAlgebra

/// Per linear: weight_packed [rows, words] I32, weight_scale [rows, groups], weight_shape [2] I64, and when asymmetric weight_zero_point
/// [words of rows, groups] I32, packed along the rows. Codes of 3 bits cross words, as clients read them from compressed-tensors 0.18 on.
///
/// Linears that hold values are plain tensors, and modules that clients must not take for packed.
///
/// Source: compressed-tensors, `compressors/quantized_compressors/pack_quantized.py`.
public struct CompressedTensorsFormat: WeightFormat {
    public init() {}

    public func refusal(_ linear: PackedLinear) -> String? {
        if linear.holdsValues { return nil }
        let options = linear.tiles[0].options
        if linear.isTransposed {
            return "its layer is no Linear in transformers (Conv1D), which compressed-tensors cannot replace; use `format: dense`"
        }
        if options.hasPermutedGroups {
            return "groups of permuted columns need `weight_g_idx`, which clients no longer read; use `act_order: groups`, `static_groups: true`, "
                + "`format: gptq_v2`, or `format: dense`"
        }
        if options.group > 0 && linear.columns % options.group != 0 {
            return "its \(linear.columns) columns are not a multiple of the group of \(options.group), and clients expect whole groups; "
                + "use a group that divides \(linear.columns), or `format: dense`"
        }
        return nil
    }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        if linear.holdsValues { return try DenseFormat().tensors(linear) }
        let options = linear.tiles[0].options
        var result = [
            try TensorDescription(
                name: linear.name + ".weight_packed", type: .i32, shape: [linear.rows, BitStream.wordCount(linear.columns, bits: linear.bits)]),
            try TensorDescription(name: linear.name + ".weight_scale", type: linear.sourceType, shape: [linear.rows, linear.groups]),
            try TensorDescription(name: linear.name + ".weight_shape", type: .i64, shape: [2]),
        ]
        if !options.symmetric {
            result.append(
                try TensorDescription(
                    name: linear.name + ".weight_zero_point", type: .i32, shape: [BitStream.wordCount(linear.rows, bits: linear.bits), linear.groups]))
        }
        return result
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        if linear.holdsValues { return try DenseFormat().write(tensor, of: linear, tile: tile, to: sink) }
        switch tensor.dropFirst(linear.name.count) {
        case ".weight_packed":
            for index in linear.tiles.indices { try tile(index).withCodeBytes(sink) }
        case ".weight_scale":
            for index in linear.tiles.indices {
                try writeNumbers(tile(index).scales(), as: linear.sourceType, to: sink)
            }
        case ".weight_shape":
            try [Int64(linear.rows).littleEndian, Int64(linear.columns).littleEndian].withUnsafeBytes(sink)
        case ".weight_zero_point":
            var zeros: [UInt8] = []
            for index in linear.tiles.indices { zeros += try tile(index).zeros() }
            try PackedZeros.pack(zeros, rows: linear.rows, groups: linear.groups, bits: linear.bits, transposed: true).withUnsafeBytes(sink)
        default:
            preconditionFailure("\(tensor) is no tensor of \(linear.name)")
        }
    }

    /// The linears of a scheme by their names, those of experts by one pattern: transformers takes for all experts the scheme of the target that is a
    /// pattern with "experts" in it, else that of the first. Where experts have several schemes no pattern tells them apart.
    private static func targets(_ names: [String], among groups: [[String]]) -> [String] {
        let experts = names.compactMap(linearOfExpert)
        guard !experts.isEmpty, groups.count(where: { $0.contains { linearOfExpert($0) != nil } }) == 1 else { return names }
        let linears = experts.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        return ["re:.*[.]experts[.]\\d+[.](\(linears.joined(separator: "|")))$"] + names.filter { linearOfExpert($0) == nil }
    }

    /// "gate_proj" of "model.layers.0.mlp.experts.3.gate_proj"; nil of other names.
    private static func linearOfExpert(_ name: String) -> String? {
        let parts = name.split(separator: ".")
        guard parts.count >= 3, parts[parts.count - 3] == "experts", Int(parts[parts.count - 2]) != nil else { return nil }
        return String(parts[parts.count - 1])
    }

    public func configuration(_ linears: [PackedLinear], ignored: [String]) throws -> JSONValue? {
        let ignored = self.ignored(linears, ignored)
        let linears = linears.filter { !$0.holdsValues }
        guard !linears.isEmpty else { return nil }
        // By what is written of a scheme, not by how it was found: a checkpoint that was read again has the same groups.
        var groups: [(arguments: JSONValue, names: [String])] = []
        var placeOfText: [String: Int] = [:]
        for linear in linears {
            let arguments = Self.arguments(linear.tiles[0].options)
            let text = arguments.text()
            if let index = placeOfText[text] {
                groups[index].names += [linear.name] + linear.otherNames
            } else {
                placeOfText[text] = groups.count
                groups.append((arguments, [linear.name] + linear.otherNames))
            }
        }
        let configGroups = groups.enumerated().map { index, group in
            // One scheme for all needs no list of names.
            let targets: JSONValue = groups.count == 1 ? ["Linear"] : .array(Self.targets(group.names, among: groups.map(\.names)).map { .string($0) })
            return (
                key: "group_\(index)",
                value: [
                    "targets": targets, "weights": group.arguments, "input_activations": nil, "output_activations": nil,
                    "format": "pack-quantized",
                ] as JSONValue
            )
        }
        return [
            "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "global_compression_ratio": nil, "kv_cache_scheme": nil, "ignore": .array(ignored.map { .string($0) }),
            "config_groups": .object(configGroups),
        ]
    }

    private static func arguments(_ options: QuantizationOptions) -> JSONValue {
        [
            "num_bits": .integer(options.bits), "type": "int", "symmetric": .boolean(options.symmetric),
            "strategy": options.group > 0 ? "group" : "channel", "group_size": options.group > 0 ? .integer(options.group) : nil,
            "block_structure": nil, "dynamic": false, "actorder": options.actOrder && options.group > 0 ? "weight" : nil, "observer": nil,
            "observer_kwargs": [:],
        ]
    }
}
