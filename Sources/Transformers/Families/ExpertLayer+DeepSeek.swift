// What config.json says of routers as DeepSeek-V3 has them, and of the experts behind them.

extension ExpertLayer {
    /// The keys of config.json that `deepSeek` reads.
    static let deepSeekKeys = keys.union([
        "first_k_dense_replace", "moe_intermediate_size", "moe_layer_freq", "n_group", "n_routed_experts", "n_shared_experts", "norm_topk_prob",
        "num_local_experts", "routed_scaling_factor", "scoring_func", "topk_group", "topk_method",
    ])
    static let deepSeekKeysOfTypes = deepSeekKeys.union(["mlp_layer_types"])

    /// Keys of training, and what transformers makes of other keys.
    static let deepSeekKeysWithoutEffect: Set<String> = ["aux_loss_alpha", "ep_size", "pretraining_tp", "qk_head_dim", "router_aux_loss_coef", "seq_aux"]

    /// What config.json need not say.
    struct DeepSeekDefaults {
        var experts: Int
        var chosen: Int
        var groups = 1
        var chosenGroups = 1
        var scale: Double
        /// Other keys of the number of experts than `n_routed_experts`.
        var otherKeys = ["num_local_experts"]
    }

    /// Experts beside shared ones, chosen by sigmoids with a correction, from a few groups of neighbours.
    static func deepSeek(_ configuration: Configuration, _ defaults: DeepSeekDefaults) throws(ArchitectureError) -> ExpertLayer {
        for (key, needed) in [("scoring_func", "sigmoid"), ("topk_method", "noaux_tc")] {
            guard try configuration.string(key, default: needed) == needed else { throw configuration.unsupported(key, needed) }
        }
        var layer = try ExpertLayer(
            configuration, expertsKeys: ["n_routed_experts"] + defaults.otherKeys, defaults: (defaults.experts, defaults.chosen),
            intermediateKey: "moe_intermediate_size", normalises: try configuration.flag("norm_topk_prob", default: true))
        layer.rule.scores = .sigmoid
        layer.rule.correction = "gate.e_score_correction_bias"
        layer.rule.scale = Float(try configuration.positive("routed_scaling_factor", default: defaults.scale))
        layer.rule.groups = try layer.groups(
            configuration, defaults: (defaults.groups, defaults.chosenGroups), measure: .sumOfTwoLargest)
        layer.shared = Shared(
            module: "shared_experts", intermediate: try configuration.count("n_shared_experts", default: 1) * layer.intermediate)
        return layer
    }

    /// Groups of neighbouring experts; nil where all are one group.
    func groups(
        _ configuration: Configuration, defaults: (count: Int, chosen: Int)?, measure: RouterRule.Groups.Measure
    ) throws(ArchitectureError) -> RouterRule.Groups? {
        let count = try configuration.count("n_group", default: defaults?.count), chosen = try configuration.count("topk_group", default: defaults?.chosen)
        let least = measure == .sumOfTwoLargest ? 2 : 1
        guard experts % count == 0, experts / count >= least else {
            throw configuration.invalid("n_group", "a divisor of the number of experts, \(experts), that leaves \(least) or more in a group")
        }
        guard chosen <= count, chosen * (experts / count) >= rule.chosen else {
            guard try configuration.has("topk_group") else { throw configuration.invalid("n_group", "\(chosen) or more, as there is no topk_group") }
            throw configuration.invalid("topk_group", "at most the number of groups, \(count), and enough for the \(rule.chosen) experts of a token")
        }
        return count == 1 ? nil : RouterRule.Groups(count: count, chosen: chosen, measure: measure)
    }

    /// The experts of each block: none in the first few, which config.json counts.
    func afterDense(_ configuration: Configuration, default first: Int) throws(ArchitectureError) -> [ExpertLayer?] {
        let first = try configuration.index("first_k_dense_replace", default: first)
        guard try configuration.count("moe_layer_freq", default: 1) == 1 else { throw configuration.unsupported("moe_layer_freq", "1") }
        return (0..<(try configuration.blockCount("num_hidden_layers"))).map { $0 < first ? nil : self }
    }

    /// The experts of each block: none in those that `mlp_layer_types` calls dense, and without it in the first few, whose number other clients go by alone.
    ///
    /// - Parameter onlyDefault: whether transformers takes no other number of dense blocks than the default.
    func byTypes(_ configuration: Configuration, default first: Int, onlyDefault: Bool = false) throws(ArchitectureError) -> [ExpertLayer?] {
        let layers = try afterDense(configuration, default: first)
        guard let types = try configuration.strings("mlp_layer_types") else {
            guard !onlyDefault || layers.prefix(while: { $0 == nil }).count == min(first, layers.count) else {
                throw configuration.unsupported("first_k_dense_replace", "\(first), where there is no mlp_layer_types")
            }
            return layers
        }
        let count = try configuration.blockCount("num_hidden_layers")
        guard types.count == count, types.allSatisfy(["dense", "sparse"].contains) else {
            throw configuration.unsupported("mlp_layer_types", "dense or sparse for each of \(count) blocks")
        }
        return types.map { $0 == "dense" ? nil : self }
    }
}
