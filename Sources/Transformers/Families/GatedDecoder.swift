// The block that Llama, Mistral, Qwen, DeepSeek and many others share: attention and a gated feed-forward network or experts, with norms before or around them.

/// What distinguishes the families of gated decoders.
struct GatedDecoder {
    var attention: AttentionKind
    var feedForwardBias = false
    /// The module of the feed-forward network, and the key of its width where it is not that of experts.
    var feedForward = "mlp"
    var intermediateKey = "intermediate_size"
    /// Whether gate and up are one linear, `gate_up_proj`.
    var isFused = false
    var normKind = Norm.Kind.rootMeanSquare
    var placement = Placement.before
    var epsilonKey = "rms_norm_eps"
    var defaultEpsilon = 1e-6
    var activationKey = "hidden_act"
    var defaultActivation = "silu"
    /// What the embedding, the outputs of both halves of a block, and logits are multiplied by; nil: 1.
    var embeddingScale: Embedding.Scale?
    var outputScale: Float?
    var logitScale: Float?
    /// Logits x become c tanh(x / c); nil: they stay.
    var logitSoftcap: Float?
    var isTiedByDefault = false
    /// The experts of each block, nil where it has a feed-forward network instead; empty: none has any.
    var experts: [ExpertLayer?] = []

    /// Where the norms of a block are.
    enum Placement {
        /// Before each half.
        case before
        /// Before each half, and after it, before its output joins the residual stream.
        case around
        /// One before both halves, which run side by side.
        case shared
    }

    enum AttentionKind {
        /// The same in all blocks, but for some that have another.
        case grouped(GroupedAttention, others: [Int: any AttentionHalf] = [:])
        case latent(LatentAttentionLayer)
    }

    /// The keys that every family of gated decoders reads, with those of its own.
    static func keys(_ own: Set<String> = [], epsilon: String = "rms_norm_eps", activation: String = "hidden_act") -> Set<String> {
        own.union(Rotary.Spelling.whole.keys).union([
            activation, epsilon, "head_dim", "hidden_size", "intermediate_size", "layer_types", "max_position_embeddings", "num_attention_heads",
            "num_hidden_layers", "num_key_value_heads", "tie_word_embeddings", "vocab_size",
        ])
    }

    func architecture(_ configuration: Configuration, _ names: ModuleNames) throws(ArchitectureError) -> Architecture {
        let hidden = try configuration.count("hidden_size")
        let vocabulary = try configuration.count("vocab_size")
        let epsilon = Float(try configuration.positive(epsilonKey, default: defaultEpsilon))
        let template = try Template(configuration, self, base: names.base, hidden: hidden, epsilon: epsilon)
        let isTied = try configuration.flag("tie_word_embeddings", default: isTiedByDefault)
        let embedding = "\(names.base).embed_tokens.weight"
        return Architecture(
            family: try configuration.string("model_type"), hiddenSize: hidden, vocabularySize: vocabulary,
            maximumPositions: try configuration.count("max_position_embeddings"),
            embedding: Embedding(tokens: embedding, positions: nil, scale: embeddingScale),
            blocks: (0..<(try configuration.blockCount("num_hidden_layers"))).map(template.block),
            finalNorm: template.norm("\(names.base).norm"),
            head: Head(
                names, tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden, scale: logitScale, softcap: logitSoftcap))
    }

    /// The types of the blocks' attention, if config.json has them; transformers checks them in every family and wants one for each block.
    static func layerTypes(_ configuration: Configuration) throws(ArchitectureError) -> [String]? {
        guard let types = try configuration.strings("layer_types") else { return nil }
        let count = try configuration.blockCount("num_hidden_layers")
        // Its older name of full attention.
        let current = types.map { $0 == "attention" ? "full_attention" : $0 }
        guard current.count == count, current.allSatisfy(["full_attention", "sliding_attention"].contains) else {
            throw configuration.unsupported("layer_types", "full_attention or sliding_attention for each of \(count) blocks")
        }
        return current
    }

    /// The windows of the blocks that `layer_types` names, or else of all but every `pattern`-th.
    static func windows(_ configuration: Configuration, pattern: Int) throws(ArchitectureError) -> [Int?] {
        guard let window = try configuration.optionalCount("sliding_window", default: 4096) else {
            throw configuration.invalid("sliding_window", "a number of tokens")
        }
        if let types = try layerTypes(configuration) { return types.map { $0 == "sliding_attention" ? window : nil } }
        return (0..<(try configuration.blockCount("num_hidden_layers"))).map { ($0 + 1) % pattern == 0 ? nil : window }
    }

    /// The same with the pattern of config.json.
    static func windows(_ configuration: Configuration, defaultPattern: Int) throws(ArchitectureError) -> [Int?] {
        try windows(configuration, pattern: configuration.count("sliding_window_pattern", default: defaultPattern))
    }

    /// One attention window for every block of a model.
    static func uniform(_ configuration: Configuration, window: Int? = nil) throws(ArchitectureError) -> [Int?] {
        Array(repeating: window, count: try configuration.blockCount("num_hidden_layers"))
    }

    /// What every block of a model has in common.
    private struct Template {
        let family: GatedDecoder
        /// The module that holds all blocks.
        let base: String
        let hidden: Int
        /// Rows of the gate of a feed-forward network; 0 where every block has experts.
        let intermediate: Int
        let epsilon: Float
        let attention: any AttentionHalf
        let otherAttention: [Int: any AttentionHalf]
        let activation: ActivationFunction

        init(_ configuration: Configuration, _ family: GatedDecoder, base: String, hidden: Int, epsilon: Float) throws(ArchitectureError) {
            self.family = family
            self.base = base
            self.hidden = hidden
            self.epsilon = epsilon
            let isDense = family.experts.isEmpty || family.experts.contains { $0 == nil }
            intermediate = isDense ? try configuration.count(family.intermediateKey) : 0
            switch family.attention {
            case .grouped(let attention, let others):
                self.attention = try GroupedAttentionLayer(configuration, attention, hidden: hidden, epsilon: epsilon)
                otherAttention = others
            case .latent(let layer):
                attention = layer
                otherAttention = [:]
            }
            activation = try ActivationFunction(configuration, key: family.activationKey, default: family.defaultActivation)
        }

        func block(_ index: Int) -> Block {
            let name = "\(base).layers.\(index)"
            let input = StageInput.norm(norm("\(name).input_layernorm"))
            let first = (otherAttention[index] ?? attention).stages(name, input: input, output: addition("\(name).post_attention_layernorm"), index: index)
            let second =
                switch family.placement {
                case .before: StageInput.norm(norm("\(name).post_attention_layernorm"))
                case .around: StageInput.norm(norm("\(name).pre_feedforward_layernorm"))
                case .shared: input
                }
            guard family.experts.indices.contains(index), let layer = family.experts[index] else {
                let output = addition("\(name).post_feedforward_layernorm")
                return Block(index: index, name: name, stages: first + feedForward("\(name).\(family.feedForward)", input: second, output: output))
            }
            let (stages, router) = layer.stages(name, input: second, hidden: hidden, activation: activation)
            return Block(index: index, name: name, stages: first + stages, router: router)
        }

        private func feedForward(_ name: String, input: StageInput, output: Addition) -> [Stage] {
            let rows = family.isFused ? [("gate_up_proj", 2 * intermediate)] : [("gate_proj", intermediate), ("up_proj", intermediate)]
            let linears = rows.map { suffix, rows in Linear("\(name).\(suffix)", rows: rows, columns: hidden, bias: family.feedForwardBias) }
            let gateUp = Stage(name: "gate+up", input: input, linears: linears, effect: GatedActivation(function: activation, isFused: family.isFused))
            let down = Linear("\(name).down_proj", rows: hidden, columns: intermediate, bias: family.feedForwardBias)
            return [gateUp, Stage(name: "down", after: gateUp, linears: [down], effect: output)]
        }

        func norm(_ name: String) -> Norm { .plain(family.normKind, name, size: hidden, epsilon: epsilon) }

        /// - Parameter norm: of the output, where outputs have norms.
        private func addition(_ norm: String) -> Addition {
            switch family.placement {
            case .before: Addition(scale: family.outputScale)
            case .around: Addition(scale: family.outputScale, norm: self.norm(norm))
            case .shared: Addition(isPending: true, scale: family.outputScale)
            }
        }
    }
}
