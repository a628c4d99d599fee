// What config.json may say, in both spellings, and how it is refused.

import Foundation
import Testing
import Transformers

private let llama = """
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 100, "max_position_embeddings": 128
    """
private let gpt2 = #""model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 4, "vocab_size": 100, "n_positions": 128"#
private let opt = """
    "model_type": "opt", "hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 100,
    "max_position_embeddings": 128
    """

private func read(_ members: String, tensors: Set<String> = []) throws -> Architecture {
    try Architecture(configuration: Data("{\(members)}".utf8), source: "config.json", tensors: tensors)
}

@Suite struct ConfigurationTests {
    struct Refusal: Sendable, CustomStringConvertible {
        let configuration: String
        /// What the message must name.
        let named: [String]
        var description: String { named.joined(separator: " ") }
        init(_ configuration: String, _ named: String...) { (self.configuration, self.named) = (configuration, named) }
    }

    @Test(arguments: [
        Refusal(#""hidden_size": 64"#, "model_type", "config.json"),
        Refusal(#""model_type": "mamba""#, "mamba", "gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2", "qwen3"),
        Refusal(#""model_type": "deepseek_v3""#, "deepseek_v3", "config.json", "cleave plan --shape", "mixture of experts"),
        Refusal(#""model_type": 7"#, "model_type", "7", "string"),
        Refusal(llama.replacing(#""hidden_size": 64, "#, with: ""), "hidden_size"),
        Refusal(llama.replacing(#""num_hidden_layers": 2"#, with: #""num_hidden_layers": 1000000"#), "num_hidden_layers", "1000000"),
        Refusal(llama.replacing("64", with: "-64"), "hidden_size", "-64"),
        Refusal(llama.replacing("64", with: "64.5"), "hidden_size", "64.5"),
        Refusal(llama.replacing("64", with: "\"64\""), "hidden_size", "\"64\""),
        Refusal(llama.replacing("64", with: "9223372036854775807"), "hidden_size", "9223372036854775807"),
        Refusal(llama.replacing("64", with: "1e300"), "hidden_size"),
        Refusal(llama.replacing(#""num_attention_heads": 4"#, with: #""num_attention_heads": 5"#), "num_attention_heads", "5", "64"),
        Refusal(llama + #", "num_key_value_heads": 3"#, "num_key_value_heads", "3"),
        Refusal(llama + #", "hidden_act": "quick_gelu""#, "hidden_act", "quick_gelu", "silu"),
        Refusal(llama + #", "attention_bias": 1"#, "attention_bias", "1"),
        Refusal(llama + #", "rms_norm_eps": 0"#, "rms_norm_eps", "0"),
        Refusal(llama + #", "head_dim": 7"#, "partial_rotary_factor", "7"),
        Refusal(llama + #", "rope_scaling": 4"#, "rope_scaling", "4"),
        Refusal(llama + #", "rope_scaling": {"type": "dynamic", "factor": 2}"#, "rope_scaling.type", "dynamic", "llama3"),
        Refusal(llama + #", "rope_parameters": {"rope_type": "yarn", "factor": 2}"#, "rope_parameters.rope_type", "yarn"),
        Refusal(llama + #", "rope_parameters": {"rope_type": "linear"}"#, "rope_parameters.factor"),
        Refusal(llama + #", "rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 1.5}"#, "partial_rotary_factor", "1.5"),
        Refusal(
            llama + #", "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}"#,
            "high_freq_factor", "1"),
        Refusal(gpt2 + #", "scale_attn_by_inverse_layer_idx": true"#, "scale_attn_by_inverse_layer_idx", "true"),
        Refusal(gpt2 + #", "add_cross_attention": true"#, "add_cross_attention"),
        Refusal(opt + #", "do_layer_norm_before": false"#, "do_layer_norm_before", "false"),
        Refusal(opt + #", "word_embed_proj_dim": 32"#, "word_embed_proj_dim", "32", "64"),
        Refusal(
            llama.replacing("llama", with: "qwen3") + #", "use_sliding_window": true, "layer_types": ["full_attention"]"#, "layer_types"),
        Refusal(llama.replacing("llama", with: "qwen2") + #", "use_sliding_window": true, "max_window_layers": -1"#, "max_window_layers", "-1"),
    ])
    func refusesAndSaysWhy(refusal: Refusal) throws {
        let error = try #require(#expect(throws: ArchitectureError.self) { try read(refusal.configuration) })
        for name in refusal.named { #expect(error.description.contains(name), "\(error)") }
    }

    @Test(arguments: ["", "[]", "{", "null", "\u{0}", #"{"model_type": "llama" "hidden_size"}"#])
    func refusesWhatIsNotAnObject(text: String) throws {
        let error = try #require(
            #expect(throws: ArchitectureError.self) { try Architecture(configuration: Data(text.utf8), source: "config.json") })
        guard case .malformed = error else {
            Issue.record("\(error)")
            return
        }
    }

    /// Readers differ in which of two equal keys they take.
    @Test func aKeyGivenTwiceIsRefusedWithItsLine() throws {
        let error = try #require(#expect(throws: ArchitectureError.self) { try read(llama + ",\n\"vocab_size\": 200") })
        #expect(error.description == "config.json is not a JSON object: line 3: duplicate key \"vocab_size\".")
    }

    @Test func bothSpellingsOfRotationMeanTheSame() throws {
        let scaling = #""factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192"#
        let newer = try read(llama + #", "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "# + scaling + "}")
        let older = try read(llama + #", "rope_theta": 500000, "rope_scaling": {"rope_type": "llama3", "# + scaling + "}")
        #expect(newer == older)
        #expect(newer != (try read(llama)))
        let linear = try read(llama + #", "rope_scaling": {"type": "linear", "factor": 2}"#)
        #expect(linear == (try read(llama + #", "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}"#)))
    }

    @Test func olderSpellingOfNeoX() throws {
        let neox = llama.replacing("llama", with: "gpt_neox")
        let older = try read(neox + #", "rotary_pct": 0.5, "rotary_emb_base": 5000"#)
        let newer = try read(neox + #", "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5}"#)
        #expect(older == newer)
        #expect(older != (try read(neox)))
    }

    @Test func nullCountsAsAbsent() throws {
        let absent = try read(llama)
        #expect(try read(llama + #", "num_key_value_heads": null, "head_dim": null, "rope_scaling": null, "rope_parameters": null"#) == absent)
    }

    @Test func windowsOfMistral() throws {
        let mistral = llama.replacing("llama", with: "mistral")
        let absent = try read(mistral)
        #expect(absent == (try read(mistral + #", "sliding_window": 4096"#)))
        #expect(absent != (try read(mistral + #", "sliding_window": null"#)))
    }

    @Test func windowsOfQwen() throws {
        let qwen = llama.replacing("llama", with: "qwen2") + #", "sliding_window": 32"#
        func windows(_ members: String) throws -> [Int?] {
            try read(qwen + members).blocks.map { block in
                guard case .attention(let attention) = block.stages[0].effect else { return -1 }
                return attention.window
            }
        }
        #expect(try windows("") == [nil, nil])
        #expect(try windows(#", "use_sliding_window": true, "max_window_layers": 1"#) == [nil, 32])
        #expect(try windows(#", "use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention"]"#) == [32, nil])
    }

    @Test func gpt2WithAndWithoutPrefix() throws {
        #expect(try read(gpt2).block(0).name == "transformer.h.0")
        #expect(try read(gpt2, tensors: ["wte.weight", "h.0.ln_1.weight"]).block(0).name == "h.0")
        #expect(try read(gpt2, tensors: ["wte.weight"]).embedding.positions?.tensor == "wpe.weight")
    }

    @Test func survivesCoding() throws {
        let architecture = try read(llama + #", "rope_scaling": {"type": "linear", "factor": 2}"#)
        let coded = try JSONEncoder().encode(architecture)
        #expect(try JSONDecoder().decode(Architecture.self, from: coded) == architecture)
    }
}
