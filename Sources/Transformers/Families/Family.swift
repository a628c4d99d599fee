// The model families that are known. A new family is one file beside this one and one entry here.

/// How the config.json of one model_type becomes an architecture.
struct Family: Sendable {
    let modelType: String
    let names: ModuleNames
    let keys: FamilyKeys
    /// Where the model takes several kinds of input: the family of its language model, whose keys are in an object of their own.
    var text: TextModel? = nil
    /// From the configuration, with the family's own names of tensors.
    let architecture: @Sendable (Configuration) throws(ArchitectureError) -> Architecture

    static let all: [Family] = [
        .bloom, .cohere, .cohere2, .deepSeekV2, .deepSeekV3, .deepSeekV32, .falcon, .gemma2, .gemma3, .gemma3Vision, .glm4MoE, .glm4MoELite, .glmMoEDSA,
        .gpt2, .gptJ, .gptNeoX, .gptOSS, .granite, .kimiK2, .kimiK25, .llama, .llama4, .llama4Vision, .miniMaxM2, .mistral, .mistral3, .mixtral, .olmoe,
        .opt, .phi3, .qwen2, .qwen2MoE, .qwen3, .qwen3MoE, .qwen3Next, .qwen35, .qwen35MoE, .qwen35MoEVision, .qwen35Vision,
    ]

    /// Reads a config.json of this family.
    func read(_ configuration: Configuration) throws(ArchitectureError) -> Architecture {
        let keys = configuration.limited(to: self.keys.read)
        // Keys that transformers reads in every model.
        try keys.require("is_causal", true)
        try keys.refuse("per_layer_config")
        try keys.refuse("transformers_weights")
        return try architecture(keys)
    }
}

/// Extents of attention that every family needs, checked against each other.
struct HeadCounts {
    let heads: Int
    let keyValueHeads: Int
    let size: Int

    /// - Parameter dividesHidden: whether the hidden size must be a multiple of the number of heads even where `size` is given.
    init(
        _ configuration: Configuration, headsKey: String, hiddenSize: Int, keyValueHeads: Int? = nil, size: Int? = nil, dividesHidden: Bool = true
    ) throws(ArchitectureError) {
        heads = try configuration.count(headsKey)
        self.keyValueHeads = keyValueHeads ?? heads
        guard size != nil && !dividesHidden || hiddenSize % heads == 0 else {
            throw configuration.invalid(headsKey, "a divisor of the hidden size, \(hiddenSize)")
        }
        guard heads % self.keyValueHeads == 0 else {
            throw configuration.invalid("num_key_value_heads", "a divisor of the number of heads, \(heads)")
        }
        self.size = size ?? hiddenSize / heads
    }

    var scale: Float { Float(1 / Double(size).squareRoot()) }
}
