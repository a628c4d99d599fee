// The block that Llama, Mistral and Qwen share: RMS norms, grouped-query attention with rotation, a gated feed-forward.

/// What distinguishes the families of gated decoders.
struct GatedDecoder {
    var queryKeyValueBias = false
    var outputBias = false
    var feedForwardBias = false
    /// Whether each head's query and key are normalised.
    var headNorms = false
    /// The head's size where config.json does not give it; nil: the hidden size divided among the heads.
    var defaultHeadSize: Int?
    /// The attention window of each block.
    var windows: [Int?]

    func architecture(_ configuration: Configuration) throws(ArchitectureError) -> Architecture {
        let hidden = try configuration.count("hidden_size")
        let vocabulary = try configuration.count("vocab_size")
        let epsilon = Float(try configuration.positive("rms_norm_eps", default: 1e-6))
        let template = try Template(configuration, self, hidden: hidden, epsilon: epsilon)
        let isTied = try configuration.flag("tie_word_embeddings", default: false)
        let embedding = "model.embed_tokens.weight"
        return Architecture(
            family: try configuration.string("model_type"), hiddenSize: hidden, vocabularySize: vocabulary,
            maximumPositions: try configuration.count("max_position_embeddings"),
            embedding: Embedding(tokens: embedding, positions: nil),
            blocks: windows.enumerated().map { template.block($0, window: $1) },
            finalNorm: .rootMeanSquare("model.norm", size: hidden, epsilon: epsilon),
            head: Head("lm_head", tiedTo: isTied ? embedding : nil, vocabularySize: vocabulary, hiddenSize: hidden))
    }

    /// One attention window for every block of a model.
    static func uniform(_ configuration: Configuration, window: Int? = nil) throws(ArchitectureError) -> [Int?] {
        Array(repeating: window, count: try configuration.blockCount("num_hidden_layers"))
    }

    /// What every block of a model has in common.
    private struct Template {
        let family: GatedDecoder
        let hidden: Int
        let intermediate: Int
        let epsilon: Float
        let heads: HeadCounts
        let rotary: Rotary
        let activation: ActivationFunction

        init(_ configuration: Configuration, _ family: GatedDecoder, hidden: Int, epsilon: Float) throws(ArchitectureError) {
            self.family = family
            self.hidden = hidden
            self.epsilon = epsilon
            intermediate = try configuration.count("intermediate_size")
            let keyValueHeads = try configuration.optionalCount("num_key_value_heads")
            let headSize = try configuration.optionalCount("head_dim") ?? family.defaultHeadSize
            heads = try HeadCounts(
                configuration, headsKey: "num_attention_heads", hiddenSize: hidden, keyValueHeads: keyValueHeads, size: headSize)
            rotary = try Rotary(configuration, headSize: heads.size)
            activation = try ActivationFunction(configuration, key: "hidden_act", default: "silu")
        }

        func block(_ index: Int, window: Int?) -> Block {
            let name = "model.layers.\(index)"
            let (attention, mlp) = ("\(name).self_attn", "\(name).mlp")
            let queryRows = heads.heads * heads.size
            let keyRows = heads.keyValueHeads * heads.size
            let qkv = [("q_proj", queryRows), ("k_proj", keyRows), ("v_proj", keyRows)].map { suffix, rows in
                Linear("\(attention).\(suffix)", rows: rows, columns: hidden, bias: family.queryKeyValueBias)
            }
            let gateUp = ["gate_proj", "up_proj"].map {
                Linear("\(mlp).\($0)", rows: intermediate, columns: hidden, bias: family.feedForwardBias)
            }
            return Block(
                index: index, name: name,
                stages: [
                    Stage(
                        name: "qkv", input: .norm(norm("\(name).input_layernorm")), linears: qkv,
                        effect: .attention(self.attention(attention, window))),
                    Stage(
                        name: "attention output", input: .carried,
                        linears: [Linear("\(attention).o_proj", rows: hidden, columns: queryRows, bias: family.outputBias)],
                        effect: .addToResidual),
                    Stage(
                        name: "gate+up", input: .norm(norm("\(name).post_attention_layernorm")), linears: gateUp,
                        effect: .gatedActivation(activation)),
                    Stage(
                        name: "down", input: .carried,
                        linears: [Linear("\(mlp).down_proj", rows: hidden, columns: intermediate, bias: family.feedForwardBias)],
                        effect: .addToResidual),
                ])
        }

        private func norm(_ name: String) -> Norm { .rootMeanSquare(name, size: hidden, epsilon: epsilon) }

        private func headNorm(_ name: String) -> Norm? {
            family.headNorms ? .rootMeanSquare(name, size: heads.size, epsilon: epsilon) : nil
        }

        private func attention(_ name: String, _ window: Int?) -> Attention {
            Attention(
                layout: .separate, heads: heads.heads, keyValueHeads: heads.keyValueHeads, headSize: heads.size, scale: heads.scale,
                window: window, rotary: rotary, queryNorm: headNorm("\(name).q_norm"), keyNorm: headNorm("\(name).k_norm"))
        }
    }
}
