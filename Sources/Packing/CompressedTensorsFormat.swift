// compressed-tensors' formats, as vLLM and transformers load them.

internal import Compression
public import JSON
public import Safetensors

/// The tensors of each linear are those of its type of numbers; see `CompressedTensorsStorage`.
///
/// Linears that hold values are plain tensors, and modules that clients must not take for packed.
public struct CompressedTensorsFormat: WeightFormat {
    public init() {}

    public func refusal(_ linear: PackedLinear) -> String? {
        if linear.holdsValues { return nil }
        if linear.isTransposed {
            return "its layer is no Linear in transformers (Conv1D), which compressed-tensors cannot replace; use `format: dense`"
        }
        if linear.options.hasPermutedGroups {
            return "groups of permuted columns need `weight_g_idx`, which clients no longer read; use `act_order: groups`, `static_groups: true`, "
                + "`format: gptq_v2`, or `format: dense`"
        }
        let number = linear.options.number
        guard number.compressedTensorsStorage != nil else {
            let instead =
                number == .ternary ? "use `format: qmoe` or `format: dense`" : number == .spqr ? "use `format: spqr` or `format: dense`" : "use `format: gguf`"
            return "compressed-tensors has none of `type: \(number.rawValue)`; \(instead)"
        }
        return storage(linear).refusal(linear)
    }

    public func tensors(_ linear: PackedLinear) throws -> [TensorDescription] {
        try linear.holdsValues ? DenseFormat().tensors(linear) : storage(linear).tensors(linear)
    }

    public func write(_ tensor: String, of linear: PackedLinear, tile: (Int) throws -> EncodedTile, to sink: TensorSink) throws {
        if linear.holdsValues { return try DenseFormat().write(tensor, of: linear, tile: tile, to: sink) }
        try storage(linear).write(String(tensor.dropFirst(linear.name.count)), of: linear, tile: tile, to: sink)
    }

    private func storage(_ linear: PackedLinear) -> any CompressedTensorsStorage {
        let number = linear.options.number
        guard let storage = number.compressedTensorsStorage else { preconditionFailure("\(number) in a format that refuses it") }
        return storage
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
        var groups: [(scheme: Scheme, names: [String])] = []
        var placeOfText: [String: Int] = [:]
        for linear in linears {
            let scheme = Scheme(linear.options), text = scheme.text
            if let index = placeOfText[text] {
                groups[index].names += [linear.name] + linear.otherNames
            } else {
                placeOfText[text] = groups.count
                groups.append((scheme, [linear.name] + linear.otherNames))
            }
        }
        let configGroups = groups.enumerated().map { index, group in
            // One scheme for all needs no list of names.
            let targets: JSONValue = groups.count == 1 ? ["Linear"] : .array(Self.targets(group.names, among: groups.map(\.names)).map { .string($0) })
            return (
                key: "group_\(index)",
                value: [
                    "targets": targets, "weights": group.scheme.weights, "input_activations": group.scheme.activations, "output_activations": nil,
                    "format": .string(group.scheme.format),
                ] as JSONValue
            )
        }
        let formats = Set(groups.map(\.scheme.format))
        return [
            "quant_method": "compressed-tensors", "format": .string(formats.count == 1 ? groups[0].scheme.format : "mixed-precision"),
            "quantization_status": "compressed",
            "global_compression_ratio": nil, "kv_cache_scheme": nil, "ignore": .array(ignored.map { .string($0) }),
            "config_groups": .object(configGroups),
        ]
    }

    /// What config.json says of linears that are stored alike.
    private struct Scheme {
        let format: String
        let weights: JSONValue
        let activations: JSONValue

        init(_ options: QuantizationOptions) {
            guard let storage = options.number.compressedTensorsStorage else { preconditionFailure("\(options.number) in a format that refuses it") }
            (format, weights, activations) = (storage.format, storage.weights(options), storage.activations(options))
        }

        var text: String { format + weights.text() + activations.text() }
    }
}
