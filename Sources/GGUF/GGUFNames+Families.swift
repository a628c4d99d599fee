// The names that families have for the tensors of a block.

extension GGUFNames {
    static let ofLlama = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]
    private static let experts = Experts(module: "mlp.experts", linears: ["gate_proj", "up_proj", "down_proj"])
    private static let router = ["mlp.gate": "ffn_gate_inp"]

    public static let llama = GGUFNames()
    public static let mixtral = GGUFNames(
        ["block_sparse_moe.gate": "ffn_gate_inp"], experts: Experts(module: "block_sparse_moe.experts", linears: ["w1", "w3", "w2"]))
    public static let mixture = GGUFNames(router, experts: experts)
    public static let qwen2Mixture = GGUFNames(
        router.merging(sharedExpert("mlp.shared_expert")) { $1 }.merging(["mlp.shared_expert_gate": "ffn_gate_inp_shexp"]) { $1 },
        experts: experts, singleRows: ["mlp.shared_expert_gate.weight"])

    /// DeepSeek-V2 and V3; what makes keys and values of the latent vector is two tensors (`LatentHalf`).
    public static let deepSeek = GGUFNames(
        router.merging(sharedExpert("mlp.shared_experts")) { $1 }.merging([
            "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
            "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
            "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
        ]) { $1 }, experts: experts, latent: "self_attn.kv_b_proj.weight")

    public static let gemma = GGUFNames([
        "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    ])

    private static func sharedExpert(_ module: String) -> [String: String] {
        ["\(module).gate_proj": "ffn_gate_shexp", "\(module).up_proj": "ffn_up_shexp", "\(module).down_proj": "ffn_down_shexp"]
    }
}
