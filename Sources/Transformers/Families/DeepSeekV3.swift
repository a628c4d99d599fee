// DeepSeek-V3 and R1 as far as a plan needs them: latent attention, and experts as stages of their own. There is no forward pass for them.

extension Family {
    /// Shapes follow `modeling_deepseek.py` of the published checkpoint. Left out: the router (a 7168 x 256 matrix of each block, which stays as it is),
    /// and the extra block that predicts a second token.
    static let deepSeekV3 = Family(
        modelType: "deepseek_v3", refusal: "a mixture of experts with latent attention has no forward pass here"
    ) { configuration, _ throws(ArchitectureError) in
        let hidden = try configuration.count("hidden_size")
        let vocabulary = try configuration.count("vocab_size")
        let epsilon = Float(try configuration.positive("rms_norm_eps", default: 1e-6))
        let attention = try LatentAttention(configuration, hidden: hidden, epsilon: epsilon)
        let experts = try ExpertMixture(configuration, hidden: hidden, epsilon: epsilon)
        let embedding = "model.embed_tokens.weight"
        let isTied = try configuration.flag("tie_word_embeddings", default: false)
        return Architecture(
            family: "deepseek_v3", hiddenSize: hidden, vocabularySize: vocabulary,
            maximumPositions: try configuration.count("max_position_embeddings"),
            embedding: Embedding(tokens: embedding, positions: nil),
            blocks: (0..<(try configuration.blockCount("num_hidden_layers"))).map { index in
                let name = "model.layers.\(index)"
                return Block(index: index, name: name, stages: attention.stages(name) + experts.stages(name, block: index))
            },
            finalNorm: .rootMeanSquare("model.norm", size: hidden, epsilon: epsilon),
            head: Head("lm_head", tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }
}

/// Multi-head latent attention (DeepSeek-V2, section 2.1): queries, keys and values come from short vectors.
private struct LatentAttention {
    let hidden: Int
    let epsilon: Float
    let heads: Int
    /// nil: queries come from the input itself.
    let queryRank: Int?
    let keyValueRank: Int
    /// Of a head's query and key: what is not rotated, and what is; the latter is one key for all heads.
    let plainSize: Int
    let rotatedSize: Int
    let valueSize: Int

    init(_ configuration: Configuration, hidden: Int, epsilon: Float) throws(ArchitectureError) {
        self.hidden = hidden
        self.epsilon = epsilon
        heads = try configuration.count("num_attention_heads")
        queryRank = try configuration.optionalCount("q_lora_rank")
        keyValueRank = try configuration.count("kv_lora_rank")
        plainSize = try configuration.count("qk_nope_head_dim")
        rotatedSize = try configuration.count("qk_rope_head_dim")
        valueSize = try configuration.count("v_head_dim")
    }

    func stages(_ block: String) -> [Stage] {
        let name = "\(block).self_attn"
        func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> Linear { Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: false) }
        func norm(_ name: String, _ size: Int) -> StageInput { .norm(.rootMeanSquare(name, size: size, epsilon: epsilon)) }
        let queryRows = heads * (plainSize + rotatedSize)
        let query = queryRank.map { linear("q_a_proj", $0, hidden) } ?? linear("q_proj", queryRows, hidden)
        let pair = 2 * Double(heads) * Double(plainSize + rotatedSize + valueSize)
        return [
            Stage(
                name: "q+kv latent", input: norm("\(block).input_layernorm", hidden),
                linears: [query, linear("kv_a_proj_with_mqa", keyValueRank + rotatedSize, hidden)], effect: .planned(operationsPerPair: 0))
        ]
            + (queryRank.map { rank in
                [
                    Stage(
                        name: "q", input: norm("\(name).q_a_layernorm", rank), linears: [linear("q_b_proj", queryRows, rank)],
                        effect: .planned(operationsPerPair: 0))
                ]
            } ?? []) + [
                Stage(
                    name: "kv", input: norm("\(name).kv_a_layernorm", keyValueRank),
                    linears: [linear("kv_b_proj", heads * (plainSize + valueSize), keyValueRank)], effect: .planned(operationsPerPair: pair)),
                Stage(name: "attention output", input: .carried, linears: [linear("o_proj", hidden, heads * valueSize)], effect: .addToResidual),
            ]
    }
}

/// A shared expert that sees every token, and many of which each token chooses a few (DeepSeekMoE); the first blocks have one dense layer instead.
private struct ExpertMixture {
    let hidden: Int
    let epsilon: Float
    let dense: Int
    let firstDense: Int
    let every: Int
    let experts: Int
    let chosen: Int
    let shared: Int
    let intermediate: Int

    init(_ configuration: Configuration, hidden: Int, epsilon: Float) throws(ArchitectureError) {
        self.hidden = hidden
        self.epsilon = epsilon
        dense = try configuration.count("intermediate_size")
        firstDense = try configuration.index("first_k_dense_replace", default: 0)
        every = try configuration.count("moe_layer_freq", default: 1)
        experts = try configuration.count("n_routed_experts")
        chosen = try configuration.count("num_experts_per_tok")
        shared = try configuration.index("n_shared_experts", default: 0)
        intermediate = try configuration.count("moe_intermediate_size")
        // A list of stages for each block: not endless for a mistaken number.
        let most = (1 << 16) / (try configuration.blockCount("num_hidden_layers"))
        guard experts <= most else { throw configuration.invalid("n_routed_experts", "a whole number from 1 to \(most)") }
        guard chosen <= experts else { throw configuration.invalid("num_experts_per_tok", "at most the number of experts, \(experts)") }
    }

    func stages(_ block: String, block index: Int) -> [Stage] {
        guard index >= firstDense, index % every == 0 else { return feedForward(block, "\(block).mlp", "", dense, share: 1) }
        let share = Double(chosen) / Double(experts)
        return (shared == 0 ? [] : feedForward(block, "\(block).mlp.shared_experts", "shared ", intermediate * shared, share: 1))
            + (0..<experts).flatMap { expert in
                let hasNorm = shared == 0 && expert == 0
                return feedForward(block, "\(block).mlp.experts.\(expert)", "expert \(expert) ", intermediate, share: share, hasNorm: hasNorm)
            }
    }

    /// - Parameter hasNorm: whether the norm of the block's second half is counted here; the other experts read what it gave.
    private func feedForward(_ block: String, _ name: String, _ label: String, _ rows: Int, share: Double, hasNorm: Bool = true) -> [Stage] {
        let input: StageInput = hasNorm ? .norm(.rootMeanSquare("\(block).post_attention_layernorm", size: hidden, epsilon: epsilon)) : .carried
        func linear(_ suffix: String, _ rows: Int, _ columns: Int) -> Linear { Linear("\(name).\(suffix)", rows: rows, columns: columns, bias: false) }
        return [
            Stage(
                name: "\(label)gate+up", input: input, linears: [linear("gate_proj", rows, hidden), linear("up_proj", rows, hidden)],
                effect: .gatedActivation(.silu), tokenShare: share),
            Stage(name: "\(label)down", input: .carried, linears: [linear("down_proj", hidden, rows)], effect: .addToResidual, tokenShare: share),
        ]
    }
}
