// Mistral: Llama with a sliding attention window in every block, or with one in those that `layer_types` names.

extension Family {
    static let mistral = mistral(ModuleNames(causalClass: "MistralForCausalLM", base: "model"))
    /// Mistral Small 3, which sees images.
    static let mistral3 = wrapping(mistral(.inVisionModel("Mistral3ForConditionalGeneration")), as: "mistral3")

    private static func mistral(_ names: ModuleNames) -> Family {
        Family(modelType: "mistral", names: names, keys: FamilyKeys(GatedDecoder.keys(["sliding_window"]))) { configuration throws(ArchitectureError) in
            let window = try configuration.optionalCount("sliding_window", default: 4096)
            var attention = GroupedAttention(defaultKeyValueHeads: 8, windows: try GatedDecoder.uniform(configuration, window: window))
            if try configuration.has("layer_types") {
                // transformers' AutoConfig takes such a model for a Ministral, whose blocks have windows or not, and which has no default for what it needs.
                guard window != nil else { throw configuration.invalid("sliding_window", "a number of tokens beside layer_types") }
                attention.headSize = .required
                attention.windows = try GatedDecoder.layerTypes(configuration)?.map { $0 == "sliding_attention" ? window : nil } ?? attention.windows
            }
            return try GatedDecoder(attention: .grouped(attention)).architecture(configuration, names)
        }
    }
}
