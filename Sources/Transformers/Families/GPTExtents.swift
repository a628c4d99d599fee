// The names and extents of GPT-2's config.json, which GPT-J and in part BLOOM have too.

extension Configuration {
    /// Names of the older families, and those that transformers' configurations share, which win where config.json has both.
    static let shortNames = [
        "n_embd": "hidden_size", "n_head": "num_attention_heads", "n_layer": "num_hidden_layers", "n_positions": "max_position_embeddings",
    ]

    /// The name under which config.json has what an older family calls otherwise.
    func longName(of short: String) throws(ArchitectureError) -> String {
        guard let long = Self.shortNames[short], try has(long) else { return short }
        return long
    }
}

/// The extents of a model whose config.json has GPT-2's keys.
struct GPTExtents {
    let hidden: Int
    let vocabulary: Int
    let positions: Int
    /// Outputs of the first linear of the feed-forward network.
    let inner: Int
    let epsilon: Float
    let heads: HeadCounts

    init(_ configuration: Configuration) throws(ArchitectureError) {
        hidden = try configuration.count(configuration.longName(of: "n_embd"))
        vocabulary = try configuration.count("vocab_size")
        positions = try configuration.count(configuration.longName(of: "n_positions"))
        inner = try configuration.optionalCount("n_inner") ?? 4 * hidden
        epsilon = Float(try configuration.positive("layer_norm_epsilon", default: 1e-5))
        heads = try HeadCounts(configuration, headsKey: configuration.longName(of: "n_head"), hiddenSize: hidden)
    }
}
