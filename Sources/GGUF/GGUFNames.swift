// What GGUF calls the tensors of Llama-like models.

/// Names of tensors. Source: gguf, `constants.py` (`TENSOR_NAMES`) and `tensor_mapping.py`.
public enum GGUFNames {
    private static let whole = ["model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"]
    private static let ofBlock = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]
    private static let blocks = "model.layers."
    /// Divisors of the rotation's frequencies, which no checkpoint has as a tensor.
    public static let frequencyFactors = "rope_freqs.weight"

    /// The name of a tensor that transformers calls so; nil where GGUF has none for it.
    public static func name(of tensor: String) -> String? {
        guard let dot = tensor.lastIndex(of: ".") else { return nil }
        let (module, rest) = (String(tensor[..<dot]), tensor[dot...])
        if let name = whole[module] { return name + rest }
        guard module.hasPrefix(blocks) else { return nil }
        let parts = module.dropFirst(blocks.count).split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let index = Int(parts[0]), let name = ofBlock[String(parts[1])] else { return nil }
        return "blk.\(index).\(name)\(rest)"
    }

    /// transformers' name of a tensor; nil for one that it does not have.
    public static func transformersName(of tensor: String) -> String? {
        guard let dot = tensor.lastIndex(of: ".") else { return nil }
        let (module, rest) = (String(tensor[..<dot]), tensor[dot...])
        if let name = whole.first(where: { $0.value == module })?.key { return name + rest }
        let parts = module.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "blk", let index = Int(parts[1]), let name = ofBlock.first(where: { $0.value == parts[2] })?.key else { return nil }
        return "\(blocks)\(index).\(name)\(rest)"
    }
}
