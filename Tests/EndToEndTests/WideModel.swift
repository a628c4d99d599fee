// Random models whose last linear has many columns: its Hessian is far larger than everything else, or the weights of a stage are.

import Foundation
import Testing

/// A model directory with ids beside it, removed when released.
final class WideModel {
    private static let vocabulary = 64
    private let directory: TemporaryDirectory
    var path: String { directory.path + "/model" }
    var recipe: String { directory.path + "/recipe.yaml" }
    var idsFile: String { directory.path + "/ids.npy" }

    /// - Parameters:
    ///   - columns: of each block's last linear.
    ///   - blocks: equal in shape.
    ///   - family: llama (2 query heads for each key-value head where `hidden` is large), gpt2 or gpt_neox, whose qkv are one linear, gemma2, whose outputs are
    ///     normalised, qwen2_moe, whose blocks have `experts` experts of that width and a shared one, or deepseek_v3, whose blocks have latent attention and but
    ///     for the first such experts.
    ///   - experts: of each block, in pairs of which a token has one; 2 for each token.
    init(columns: Int, hidden: Int = 128, blocks: Int = 1, family: String = "llama", experts: Int = 8) throws {
        directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let (vocabulary, keyValueHeads) = (Self.vocabulary, hidden > 128 ? 2 : 4)
        var tensors: [(String, [Int])] = []
        func linear(_ name: String, _ rows: Int, _ columns: Int) { tensors += [(name + ".weight", [rows, columns]), (name + ".bias", [rows])] }
        func norm(_ name: String) { tensors += [(name + ".weight", [hidden]), (name + ".bias", [hidden])] }
        for block in 0..<blocks {
            switch family {
            case "gpt2":
                let name = "h.\(block)."
                // Stored transposed: a bias has as many numbers as the weight has columns.
                for (linear, inputs, outputs) in [
                    ("attn.c_attn", hidden, 3 * hidden), ("attn.c_proj", hidden, hidden), ("mlp.c_fc", hidden, columns), ("mlp.c_proj", columns, hidden),
                ] {
                    tensors += [(name + linear + ".weight", [inputs, outputs]), (name + linear + ".bias", [outputs])]
                }
                norm(name + "ln_1")
                norm(name + "ln_2")
            case "gpt_neox":
                let name = "gpt_neox.layers.\(block)."
                linear(name + "attention.query_key_value", 3 * hidden, hidden)
                linear(name + "attention.dense", hidden, hidden)
                linear(name + "mlp.dense_h_to_4h", columns, hidden)
                linear(name + "mlp.dense_4h_to_h", hidden, columns)
                norm(name + "input_layernorm")
                norm(name + "post_attention_layernorm")
            default:
                let name = "model.layers.\(block)."
                func feedForward(_ name: String) {
                    tensors += [("gate_proj", [columns, hidden]), ("up_proj", [columns, hidden]), ("down_proj", [hidden, columns])].map {
                        (name + $0.0 + ".weight", $0.1)
                    }
                }
                let keys = hidden / 4 * keyValueHeads
                let attention =
                    family == "deepseek_v3"
                    ? [
                        ("q_a_proj", [64, hidden]), ("q_a_layernorm", [64]), ("q_b_proj", [4 * 48, 64]), ("kv_a_proj_with_mqa", [64 + 16, hidden]),
                        ("kv_a_layernorm", [64]), ("kv_b_proj", [4 * 64, 64]), ("o_proj", [hidden, 4 * 32]),
                    ] : [("q_proj", [hidden, hidden]), ("k_proj", [keys, hidden]), ("v_proj", [keys, hidden]), ("o_proj", [hidden, hidden])]
                tensors += attention.map { (name + "self_attn.\($0.0).weight", $0.1) }
                if family == "deepseek_v3", block > 0 {
                    tensors += [(name + "mlp.gate.weight", [experts, hidden]), (name + "mlp.gate.e_score_correction_bias", [experts])]
                    for expert in 0..<experts { feedForward(name + "mlp.experts.\(expert).") }
                    feedForward(name + "mlp.shared_experts.")
                } else if family == "qwen2_moe" {
                    tensors += [("q_proj", hidden), ("k_proj", keys), ("v_proj", keys)].map { (name + "self_attn.\($0.0).bias", [$0.1]) }
                    tensors += [(name + "mlp.gate.weight", [experts, hidden]), (name + "mlp.shared_expert_gate.weight", [1, hidden])]
                    for expert in 0..<experts { feedForward(name + "mlp.experts.\(expert).") }
                    feedForward(name + "mlp.shared_expert.")
                } else {
                    feedForward(name + "mlp.")
                }
                tensors += [(name + "input_layernorm.weight", [hidden]), (name + "post_attention_layernorm.weight", [hidden])]
                if family == "gemma2" { tensors += ["pre", "post"].map { (name + "\($0)_feedforward_layernorm.weight", [hidden]) } }
            }
        }
        let configuration: String
        switch family {
        case "gpt2":
            tensors += [("wte.weight", [vocabulary, hidden]), ("wpe.weight", [512, hidden])]
            norm("ln_f")
            configuration = """
                {"model_type": "gpt2", "n_embd": \(hidden), "n_inner": \(columns), "n_layer": \(blocks), "n_head": 4, "vocab_size": \(vocabulary), "n_positions": 512}
                """
        case "gpt_neox":
            tensors += [("gpt_neox.embed_in.weight", [vocabulary, hidden]), ("embed_out.weight", [vocabulary, hidden])]
            norm("gpt_neox.final_layer_norm")
            configuration = """
                {"model_type": "gpt_neox", "hidden_size": \(hidden), "intermediate_size": \(columns), "num_hidden_layers": \(blocks), "num_attention_heads": 4,
                 "vocab_size": \(vocabulary), "max_position_embeddings": 512}
                """
        default:
            tensors += [("model.embed_tokens.weight", [vocabulary, hidden]), ("model.norm.weight", [hidden])]
            let more = [
                "gemma2": ", \"head_dim\": \(hidden / 4)",
                "qwen2_moe": """
                , "num_experts": \(experts), "num_experts_per_tok": 2, "moe_intermediate_size": \(columns), "shared_expert_intermediate_size": \(columns)
                """,
                "deepseek_v3": """
                , "n_routed_experts": \(experts), "num_experts_per_tok": 2, "n_group": \(experts / 2), "topk_group": 2, "moe_intermediate_size": \(columns),
                 "first_k_dense_replace": 1, "q_lora_rank": 64, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32
                """,
            ]
            configuration = """
                {"model_type": "\(family)", "hidden_size": \(hidden), "intermediate_size": \(columns), "num_hidden_layers": \(blocks), "num_attention_heads": 4,
                 "num_key_value_heads": \(keyValueHeads), "vocab_size": \(vocabulary), "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu",
                 "tie_word_embeddings": true\(more[family] ?? "")}
                """
        }
        try write(tensors).write(to: URL(fileURLWithPath: path + "/model.safetensors"))
        try Data(configuration.utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        try writeIDs(4096)
        try Data(
            """
            model: \(path)
            output: \(directory.path)/out
            calibration: {source: \(idsFile), sequences: 6, length: 128, batch: 1}
            compress: {bits: 4, group: 64}
            """.utf8
        ).write(to: URL(fileURLWithPath: recipe))
    }

    /// Writes so many ids beside the model.
    func writeIDs(_ count: Int) throws { try ids(count, below: Self.vocabulary).write(to: URL(fileURLWithPath: idsFile)) }

    func output(_ name: String) -> String { directory.path + "/" + name }

    /// The limit of a rank or of a host that `compress` names as sufficient where it refuses a smaller one, in bytes.
    func sufficientLimit(_ flags: [String] = [], of holder: String = "rank", ranks: Int?, threads: Int = 1) throws -> Int {
        let refused = try CleaveProcess.run(
            ["compress", recipe, "--output", output("refused"), "--memory-per-\(holder)", "1MiB"] + flags, ranks: ranks, threads: threads)
        #expect(refused.exitCode == 65, "\(refused.errors)")
        let words = try #require(refused.errors.components(separatedBy: "what would fit: memory_per_\(holder): ").dropFirst().first, "\(refused.errors)")
        return try #require(Int(words.prefix { $0.isNumber })) << 20
    }

    /// bf16 of either sign, between 1/16 and 1/8; norms of 1.
    private func write(_ tensors: [(String, [Int])]) -> Data {
        var (entries, data, state) = ([String](), Data(), UInt64(1))
        for (name, shape) in tensors {
            let (start, count) = (data.count, shape.reduce(1, *))
            data.append(
                contentsOf: [UInt8](unsafeUninitializedCapacity: 2 * count) { bytes, filled in
                    for index in 0..<count {
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        bytes[2 * index] = shape.count == 1 ? 0x80 : UInt8(truncatingIfNeeded: state >> 40)
                        bytes[2 * index + 1] = shape.count == 1 ? 0x3f : UInt8(truncatingIfNeeded: 0x3d | (state >> 56) & 0x80)
                    }
                    filled = 2 * count
                })
            entries.append("\"\(name)\": {\"dtype\": \"BF16\", \"shape\": \(shape), \"data_offsets\": [\(start), \(data.count)]}")
        }
        let header = "{\(entries.joined(separator: ", "))}"
        let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        return withUnsafeBytes(of: UInt64(padded.utf8.count).littleEndian) { Data($0) } + Data(padded.utf8) + data
    }

    /// A NumPy file of int32.
    private func ids(_ count: Int, below bound: Int) -> Data {
        let header = "{'descr': '<i4', 'fortran_order': False, 'shape': (\(count),), }"
        let padded = header + String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
        var data = Data([0x93]) + Data("NUMPY".utf8) + Data([1, 0, UInt8(padded.utf8.count & 255), UInt8(padded.utf8.count >> 8)]) + Data(padded.utf8)
        for index in 0..<count { withUnsafeBytes(of: Int32((index * index + 7 * index + index / 50) % bound).littleEndian) { data.append(contentsOf: $0) } }
        return data
    }
}
