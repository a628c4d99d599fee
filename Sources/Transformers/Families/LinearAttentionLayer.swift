// Linear attention in the families that have it: what config.json says of it, and its stages.

/// Gated delta-net attention of a model, the same in every block that has it.
struct LinearAttentionLayer: AttentionHalf {
    private let hidden: Int
    private let keyHeads: Int
    private let shared: Int
    private let keySize: Int
    private let valueSize: Int
    private let taps: Int
    private let epsilon: Float
    private let layout: GatedDeltaNet.HeadLayout

    /// The keys of config.json that are read here.
    static let keys: Set<String> = [
        "full_attention_interval", "linear_conv_kernel_dim", "linear_key_head_dim", "linear_num_key_heads", "linear_num_value_heads",
        "linear_value_head_dim",
    ]

    init(_ configuration: Configuration, layout: GatedDeltaNet.HeadLayout) throws(ArchitectureError) {
        hidden = try configuration.count("hidden_size")
        keyHeads = try configuration.count("linear_num_key_heads", default: 16)
        let valueHeads = try configuration.count("linear_num_value_heads", default: 32)
        guard valueHeads % keyHeads == 0 else { throw configuration.invalid("linear_num_value_heads", "a multiple of the number of key heads, \(keyHeads)") }
        shared = valueHeads / keyHeads
        keySize = try configuration.count("linear_key_head_dim", default: 128)
        valueSize = try configuration.count("linear_value_head_dim", default: 128)
        taps = try configuration.count("linear_conv_kernel_dim", default: 4)
        epsilon = Float(try configuration.positive("rms_norm_eps", default: 1e-6))
        // The convolution takes the same activation, and is computed with this one.
        guard try ActivationFunction(configuration, key: "hidden_act", default: "silu") == .silu else { throw configuration.unsupported("hidden_act", "silu") }
        self.layout = layout
    }

    /// The blocks that have it: those that `layer_types` names, else all but every n-th.
    static func blocks(_ configuration: Configuration) throws(ArchitectureError) -> [Int] {
        let count = try configuration.blockCount("num_hidden_layers")
        guard let types = try configuration.strings("layer_types") else {
            let interval = try configuration.count("full_attention_interval", default: 4)
            return (0..<count).filter { ($0 + 1) % interval != 0 }
        }
        guard types.count == count, types.allSatisfy(["full_attention", "linear_attention"].contains) else {
            throw configuration.unsupported("layer_types", "full_attention or linear_attention for each of \(count) blocks")
        }
        return types.indices.filter { types[$0] == "linear_attention" }
    }

    func stages(_ block: String, input: StageInput, output addition: Addition, index: Int) -> [Stage] {
        let name = "\(block).linear_attn"
        func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> Linear { Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: false) }
        func tensor(_ suffix: String, _ shape: [Int]) -> ExpectedTensor { ExpectedTensor(name: "\(name).\(suffix)", shape: shape) }
        let (keys, valueHeads) = (keyHeads * keySize, keyHeads * shared)
        let values = valueHeads * valueSize, channels = 2 * keys + values
        let (linears, gates) =
            switch layout {
            case .perKeyHead: ([linear("in_proj_qkvz", channels + values, hidden)], [linear("in_proj_ba", 2 * valueHeads, hidden)])
            case .separate:
                (
                    [linear("in_proj_qkv", channels, hidden), linear("in_proj_z", values, hidden)],
                    [linear("in_proj_b", valueHeads, hidden), linear("in_proj_a", valueHeads, hidden)]
                )
            }
        let net = GatedDeltaNet(
            layout: layout, keyHeads: 0..<keyHeads, allKeyHeads: keyHeads, shared: shared, keySize: keySize, valueSize: valueSize, taps: taps, epsilon: epsilon,
            gates: gates, convolution: tensor("conv1d.weight", [channels, 1, taps]), decay: tensor("A_log", [valueHeads]),
            decayBias: tensor("dt_bias", [valueHeads]), norm: tensor("norm.weight", [valueSize]))
        let first = Stage(name: "linear attention", input: input, linears: linears, effect: net)
        return [first, Stage(name: "attention output", after: first, linears: [linear("out_proj", hidden, values)], effect: addition)]
    }
}
