// Names of a checkpoint's tensors that are not those of its family.

import Foundation
import Testing
import Transformers

private let models = [
    "llama": #""model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "max_position_embeddings": 8"#,
    "gpt2": #""model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_positions": 8"#,
    "opt": #""model_type": "opt", "hidden_size": 8, "ffn_dim": 8, "num_attention_heads": 2, "max_position_embeddings": 8"#,
    "gpt_neox": #""model_type": "gpt_neox", "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "max_position_embeddings": 8"#,
]

private func read(_ family: String, tied: Bool = false, tensors: Set<String> = []) throws -> Architecture {
    let blocks = family == "gpt2" ? "n_layer" : "num_hidden_layers"
    let text = "{\(models[family] ?? ""), \"vocab_size\": 9, \"\(blocks)\": 2, \"tie_word_embeddings\": \(tied)}"
    return try Architecture(configuration: Data(text.utf8), source: "config.json", tensors: tensors)
}

private func names(_ architecture: Architecture) -> Set<String> { Set(architecture.expectedTensors().map(\.name)) }

@Suite struct TensorNameTests {
    /// Without the family's prefix, and with it twice.
    @Test(arguments: models.keys.sorted(), [false, true])
    func otherPrefixes(family: String, isTwice: Bool) throws {
        let plain = try read(family)
        let prefix = ["llama": "model.", "gpt2": "transformer.", "opt": "model.", "gpt_neox": "gpt_neox."][family] ?? ""
        // By the name that files have for it, transformers finds a head only where nothing stands before it.
        func other(_ name: String) -> String {
            if isTwice { return prefix + name.replacing("embed_out", with: "lm_head") }
            return name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
        }
        let found = Set(names(plain).map(other))
        let architecture = try read(family, tensors: found)
        #expect(names(architecture) == found)
        // Linears keep the names that clients know, and answer to both.
        #expect(architecture.blocks.map(\.name) == plain.blocks.map(\.name))
        let (linear, known) = (architecture.blocks[1].stages[0].linears[0], plain.blocks[1].stages[0].linears[0])
        #expect(linear.name == known.name && linear.names == [known.name, other(known.name)])
        for name in names(plain) { #expect(architecture.names.familyName(other(name)) == name && architecture.names.fileName(name) == other(name)) }
        // What is packed goes by its module.
        #expect(architecture.names.familyName(other(known.name) + ".weight_packed") == known.name + ".weight_packed")
    }

    @Test func theHeadOfNeoXHasTwoNames() throws {
        let plain = try read("gpt_neox")
        #expect(plain.head.modules == ["lm_head", "embed_out"] && plain.head.linear.weight == "embed_out.weight")
        let found = Set(names(plain).map { $0 == "embed_out.weight" ? "lm_head.weight" : $0 })
        let other = try read("gpt_neox", tensors: found)
        #expect(names(other) == found && other.names.familyName("lm_head.weight") == "embed_out.weight")
        #expect(throws: ArchitectureError.self) { try read("gpt_neox", tensors: found.union(["embed_out.weight"])) }
        let prefixed = try read("gpt_neox", tensors: found.subtracting(["lm_head.weight"]).union(["gpt_neox.lm_head.weight"]))
        #expect(prefixed.head.linear.weight == "gpt_neox.lm_head.weight")
        let unknown = try read("gpt_neox", tensors: found.subtracting(["lm_head.weight"]).union(["gpt_neox.embed_out.weight"]))
        #expect(unknown.head.linear.weight == "embed_out.weight" && unknown.names.familyName("gpt_neox.embed_out.weight") == "gpt_neox.embed_out.weight")
    }

    @Test(arguments: models.keys.sorted())
    func onlyTheHeadOfATiedModel(family: String) throws {
        let plain = try read(family, tied: true)
        let embedding = plain.embedding.tokens
        let head = plain.head.own.weight
        let architecture = try read(family, tied: true, tensors: names(plain).subtracting([embedding]).union([head]))
        #expect(architecture.embedding.tokens == head && architecture.head.linear.weight == head && architecture.head.isTied)
        #expect(architecture.names.familyName(head) == embedding)
        // With both, config.json is believed until the numbers differ.
        let both = try read(family, tied: true, tensors: names(plain).union([head]))
        #expect(both.head.linear.weight == embedding && both.untied().head.linear.weight == head && !both.untied().head.isTied)
    }

    @Test func blocksBeyondThoseOfTheConfiguration() throws {
        let plain = try read("llama")
        let architecture = try read("llama", tensors: names(plain).union(["model.layers.2.mlp.up_proj.weight"]))
        #expect(architecture.names.blockBeyond("model.layers.2.mlp.up_proj.weight") == 2)
        #expect(architecture.names.blockBeyond("layers.61.eh_proj.weight") == 61)
        #expect(architecture.names.blockBeyond("model.layers.1.mlp.up_proj.weight") == nil)
        #expect(architecture.names.blockBeyond("model.layers.2x.weight") == nil)
        #expect(architecture.names.blockBeyond("model.norm.weight") == nil)
    }
}
