// What config.json may say, in both spellings, and how it is refused.

import Foundation
import Testing
import Transformers

private func read(_ members: String, tensors: Set<String> = []) throws -> Architecture {
    try Architecture(configuration: Data("{\(members)}".utf8), source: "config.json", tensors: tensors)
}

/// The attention window of each block.
private func windows(_ members: String) throws -> [Int?] {
    try read(members).blocks.map { block in
        guard let attention = block.stages[0].effect as? Attention else { return -1 }
        return attention.window
    }
}

/// More of YaRN's object, and the amplitude; 0.1 ln 4 = 0.13862943611198906.
private let amplitudes: [(String, Double)] = [
    ("", 1.13862943611198906), (#", "attention_factor": 0.5"#, 0.5),
    (#", "mscale": 2.0, "mscale_all_dim": 0.5"#, 1.27725887222397812 / 1.06931471805599453),
]

@Suite struct ConfigurationTests {
    @Test(arguments: refusals0 + refusals1 + refusals2 + refusals3)
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
        let absent = try read(mistral)
        #expect(absent == (try read(mistral + #", "sliding_window": 4096"#)))
        #expect(absent != (try read(mistral + #", "sliding_window": null"#)))
        // With types of blocks transformers takes it for a Ministral, which needs the size of a head and a window.
        let types = #", "layer_types": ["full_attention", "sliding_attention"]"#
        #expect(try windows(mistral + #", "head_dim": 16"# + types) == [nil, 4096])
        #expect(try windows(mistral + #", "head_dim": 16, "layer_types": null"#) == [4096, 4096])
        #expect(throws: ArchitectureError.self) { try read(mistral + types) }
        #expect(throws: ArchitectureError.self) { try read(mistral + #", "head_dim": 16, "sliding_window": null"# + types) }
        #expect(throws: ArchitectureError.self) { try read(llama.replacing("llama", with: "mistral")) }
    }

    @Test func windowsOfQwen() throws {
        let qwen = qwen2 + #", "sliding_window": 32"#
        #expect(try windows(qwen) == [nil, nil])
        #expect(try windows(qwen + #", "use_sliding_window": true, "max_window_layers": 1"#) == [nil, 32])
        #expect(try windows(qwen + #", "use_sliding_window": true, "layer_types": ["sliding_attention", "attention"]"#) == [32, nil])
    }

    /// A few rules of transformers that only show in numbers: what wins over what.
    @Test func whatWinsOverWhat() throws {
        func rotary(_ members: String, _ family: String = llama) throws -> Rotary? {
            guard let attention = try read(family + members).blocks[0].stages[0].effect as? Attention else { return nil }
            return attention.rotary
        }
        let both = #", "rope_scaling": {"type": "linear", "factor": 4.0}, "rope_parameters": {"rope_type": "default", "rope_theta": 5.0}"#
        #expect(try rotary(both) == Rotary(size: 16, divisor: 16, base: 10_000, scaling: .linear(factor: 4)))
        #expect(try rotary(#", "rope_scaling": {}, "rope_parameters": {"rope_theta": 5.0}"#)?.base == 5)
        let llama3 = #"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}"#
        let expected = Rotary.Scaling.llama3(factor: 8, low: 1, high: 4, originalPositions: 64)
        #expect(try rotary(#", "original_max_position_embeddings": 64, "rope_scaling": "# + llama3)?.scaling == expected)
        #expect(try rotary(#", "partial_rotary_factor": 0.5"#)?.size == 16)
        #expect(try rotary(#", "partial_rotary_factor": 0.5, "rope_theta": 5.0"#, neox) == Rotary(size: 4, divisor: 4, base: 10_000, scaling: .none))
        // 5 of 16 elements: three frequencies.
        #expect(try rotary(#", "rotary_pct": 0.35"#, neox) == Rotary(size: 6, divisor: 5, base: 10_000, scaling: .none))
        #expect(try rotary(#", "rotary_pct": 0.01"#, neox) == nil)
        #expect(try read(gpt2 + #", "hidden_size": 32"#).hiddenSize == 32)
    }

    /// The amplitudes are those of transformers' _compute_yarn_parameters.
    @Test(arguments: amplitudes)
    func yarn(members: String, amplitude: Double) throws {
        let text = llama + #", "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32"# + members + "}"
        guard let attention = try read(text).blocks[0].stages[0].effect as? Attention, let rotary = attention.rotary else { return #expect(Bool(false)) }
        #expect(abs(rotary.amplitude - amplitude) < 1e-12)
        let frequencies = rotary.frequencies
        #expect(frequencies[0] == 1)
        // The slowest turns less than once in 32 positions.
        #expect(abs(frequencies[7] * 4 / pow(10_000, -14.0 / 16) - 1) < 1e-12)
    }

    @Test func scoresOfGPT2() throws {
        func scales(_ members: String) throws -> [Float] {
            try read(gpt2.replacing(#""n_layer": 1"#, with: #""n_layer": 2"#) + members).blocks.map { block in
                guard let attention = block.stages[0].effect as? Attention else { return 0 }
                return attention.scale
            }
        }
        #expect(try scales("") == [0.25, 0.25])
        #expect(try scales(#", "scale_attn_by_inverse_layer_idx": true"#) == [0.25, 0.125])
        #expect(try scales(#", "scale_attn_weights": false"#) == [1, 1])
    }

    @Test func whatNobodyReadsIsSaid() throws {
        func remarks(_ members: String) throws -> [String] { try Architecture.remarks(on: Data("{\(members)}".utf8), source: "config.json") }
        #expect(try remarks(llama + #", "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16", "pretraining_tp": 1"#) == [])
        let unknown = try remarks(llama + #", "logits_scaling": 8.0, "architectures": ["LlamaForSequenceClassification"]"#)
        #expect(unknown.count == 2 && unknown[0].contains("LlamaForSequenceClassification") && unknown[1].hasSuffix("logits_scaling"))
        #expect(try remarks(llama + #", "auto_map": {"AutoModelForCausalLM": "modeling.M"}"#).first?.contains("auto_map") == true)
    }
}
