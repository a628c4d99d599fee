// One of compressed-tensors' `config_groups`: how the weights of its targets are compressed.

internal import Compression
internal import JSON

/// Integer codes by group or by row.
struct CompressedTensorsScheme: Sendable, Hashable {
    /// In which order columns were quantized.
    enum Order: Sendable, Hashable {
        case natural
        /// By activation, groups being made of neighbours all the same.
        case weight
        /// By activation, groups being made of what was neighbours in that order: `weight_g_idx` says which.
        case group
    }

    var bits: Int
    var symmetric: Bool
    /// -1: one group a row.
    var group: Int
    var order: Order
    /// In which numbers clients round inputs as they come; nil: not at all.
    var activationType: NumberType?

    /// Reads a group.
    ///
    /// - Parameters:
    ///   - preset: the group's name, which is that of a scheme where the group is a list of targets alone.
    /// - Returns: nil for a group that leaves weights as they are.
    /// - Throws: for all that is not integer weights by group or row, and for whatever else a group may ask for.
    init?(_ value: JSONValue, preset: String, place: String) throws(PackingError) {
        if value.array != nil {
            guard let scheme = Self.presets[preset.uppercased()] else {
                throw PackingError("`\(place)` is a preset that cannot be read; those that can are \(Self.presets.keys.sorted().joined(separator: ", "))")
            }
            self = scheme
            return
        }
        guard let entries = value.object else { throw PackingError("`\(place)` must be an object, found \(value.kind)") }
        for (key, entry) in entries where !entry.saysNothing {
            switch key {
            case "targets", "weights": break
            case "input_activations" where Self.isFloat8ByToken(entry): break
            case "input_activations", "output_activations":
                throw PackingError("`\(place).\(key)` asks for quantized activations, which Cleave does not compute")
            case "format":
                guard entry.string == "pack-quantized" else {
                    throw PackingError("`\(place).format` is `\(entry.plainText)`; of compressed-tensors' formats pack-quantized can be read")
                }
            default: throw PackingError("`\(place).\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        guard let weights = value["weights"] else { return nil }
        try self.init(weights: weights, place: place + ".weights")
        if let activations = value["input_activations"], !activations.saysNothing { activationType = .fp8 }
    }

    /// Whether clients round inputs to FP8 as they come, which concerns those who do it.
    private static func isFloat8ByToken(_ activations: JSONValue) -> Bool {
        func says(_ key: String, _ text: String) -> Bool { activations[key]?.string?.lowercased() == text }
        return activations["num_bits"]?.integer == 8 && says("type", "float") && says("strategy", "token") && activations["dynamic"]?.boolean == true
            && activations["symmetric"].map(\.boolean) ?? true == true
    }

    /// Source: compressed-tensors, `quantization/quant_args.py`: keys that are left out have the values of its class.
    private init(weights: JSONValue, place: String) throws(PackingError) {
        guard let entries = weights.object else { throw PackingError("`\(place)` must be an object, found \(weights.kind)") }
        for (key, entry) in entries where !entry.saysNothing {
            switch key {
            // How scales were found is past.
            case "num_bits", "symmetric", "strategy", "group_size", "actorder", "observer", "observer_kwargs": break
            case "type":
                guard entry.string?.lowercased() == "int" else { throw Self.refusal(place, key, entry, "integer codes (`int`)") }
            case "dynamic":
                guard entry.boolean == false else { throw Self.refusal(place, key, entry, "scales that are stored (`false`)") }
            case "block_structure": throw Self.refusal(place, key, entry, "groups or rows")
            case "scale_dtype":
                guard ["torch.float16", "torch.bfloat16", "torch.float32", "float16", "bfloat16", "float32"].contains(entry.string) else {
                    throw Self.refusal(place, key, entry, "scales in F16, BF16 or F32")
                }
            case "zp_dtype":
                guard entry.string?.contains("int") == true else { throw Self.refusal(place, key, entry, "integer zero points") }
            default: throw PackingError("`\(place).\(key)` is not known, and may change what the model computes; remove it if it does not")
            }
        }
        bits = weights["num_bits"].map { $0.integer ?? 0 } ?? 8
        guard [2, 3, 4, 8].contains(bits) else { throw Self.refusal(place, "num_bits", weights["num_bits"], "codes of 2, 3, 4 or 8 bits") }
        guard let symmetric = weights["symmetric"].map(\.boolean) ?? true else {
            throw Self.refusal(place, "symmetric", weights["symmetric"], "true or false")
        }
        self.symmetric = symmetric
        group = try Self.group(weights, place)
        order = try Self.order(weights["actorder"], place)
    }

    private static func group(_ weights: JSONValue, _ place: String) throws(PackingError) -> Int {
        let size = weights["group_size"].map { $0.integer ?? 0 }
        // Left out, the strategy follows from the size.
        let strategy = weights["strategy"]?.string?.lowercased() ?? (size == -1 ? "channel" : size == nil ? "tensor" : "group")
        switch strategy {
        case "channel" where size == nil || size == -1: return -1
        case "group":
            guard let size, (1...largestGroup).contains(size) else {
                throw PackingError("`\(place)` has the strategy `group`, but no `group_size` of at least 1")
            }
            return size
        case let other:
            throw PackingError(
                "`\(place)` has the strategy `\(other)` with a group_size of \(size.map(String.init) ?? "none"); `group` and `channel` can be read")
        }
    }

    private static func order(_ value: JSONValue?, _ place: String) throws(PackingError) -> Order {
        switch value {
        case nil, .boolean(false)?: return .natural
        case .boolean(true)?: return .group
        case .string(let name)? where ["weight", "static"].contains(name.lowercased()): return .weight
        case .string(let name)? where ["group", "dynamic"].contains(name.lowercased()): return .group
        case let other?: throw refusal(place, "actorder", other, "`weight`, `group` or null")
        }
    }

    private static func refusal(_ place: String, _ key: String, _ value: JSONValue?, _ readable: String) -> PackingError {
        PackingError("`\(place).\(key)` is `\(value?.plainText ?? "null")`; what can be read is \(readable)")
    }

    /// The names of linears, regular expressions and classes to which a group applies.
    static func targets(_ group: JSONValue, place: String) throws(PackingError) -> [String] {
        let targets = (group.array ?? group["targets"]?.array)?.map(\.string)
        guard let targets, !targets.isEmpty, !targets.contains(nil) else { throw PackingError("`\(place)` has no `targets`, or other ones than texts") }
        return targets.compactMap { $0 }
    }

    /// Schemes that go by a name, as far as they compress weights alone, to integers, and mean the same in all versions.
    private static let presets: [String: CompressedTensorsScheme] = [
        "W2A16": CompressedTensorsScheme(bits: 2, symmetric: true, group: 128, order: .natural),
        "W3A16": CompressedTensorsScheme(bits: 3, symmetric: true, group: 128, order: .natural),
        "W4A16": CompressedTensorsScheme(bits: 4, symmetric: true, group: 128, order: .natural),
        "W4A16_ASYM": CompressedTensorsScheme(bits: 4, symmetric: false, group: 128, order: .natural),
    ]

    private init(bits: Int, symmetric: Bool, group: Int, order: Order) {
        (self.bits, self.symmetric, self.group, self.order) = (bits, symmetric, group, order)
    }
}
