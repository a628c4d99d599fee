// Models that are refused, evaluation, and token ids.

import Foundation
import Glibc
import MessagePassing
import Pipeline
import Recipes
import Reporting
import Safetensors
import TestWorld
import Testing
import Texts
import TinyModels
import Transformers

extension PipelineTests {
    @Suite(.serialized) struct Models {
        private func refusal(_ model: TinyModel) -> String { message { _ = try Model(path: model.model, reading: .mapped, world: TestWorld.world) } ?? "" }

        @Test func missingTensors() throws {
            let model = try TinyModel { $0.filter { $0.name != "model.layers.1.mlp.up_proj.weight" } }
            #expect(refusal(model).contains("tensor model.layers.1.mlp.up_proj.weight [96, 64] is missing"))
        }

        @Test func otherShapes() throws {
            let model = try TinyModel { try $0.map { $0.name == "model.norm.weight" ? try TensorDescription(name: $0.name, type: .bf16, shape: [65]) : $0 } }
            #expect(refusal(model).contains("tensor model.norm.weight has shape [65], config.json says [64]"))
        }

        @Test func otherTypes() throws {
            let model = try TinyModel { try $0.map { $0.name == "lm_head.weight" ? try TensorDescription(name: $0.name, type: .i16, shape: $0.shape) : $0 } }
            #expect(refusal(model).contains("tensor lm_head.weight is of type I16; F64, F32, F16 or BF16 is needed"))
        }

        @Test func foldersThatAreNoModel() throws {
            let model = try TinyModel()
            #expect(message { _ = try Model(path: "/nonexistent/a", reading: .mapped, world: TestWorld.world) } == "/nonexistent/a: no such model directory")
            #expect(message { _ = try Model(path: model.path + "/ids.npy", reading: .mapped, world: TestWorld.world) }?.contains("is a file") == true)
            #expect(message { _ = try Model(path: model.path, reading: .mapped, world: TestWorld.world) }?.contains("config.json is missing") == true)
        }

        /// What stands in the place of a model's files, and what is said of it.
        @Test(arguments: [
            ("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "model.safetensors: This is a pointer of Git LFS"),
            ("config.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "config.json: This is a pointer of Git LFS"),
            ("model.safetensors", "<!DOCTYPE html><html></html>", "model.safetensors: This is a web page"),
            ("config.json", " <html>401", "config.json: This is a web page"),
            ("config.json", "\u{feff}{}", "config.json: The file begins with a byte order mark of UTF-8"), ("model.safetensors", "", "The file has 0 bytes"),
            ("model.safetensors", "PK\u{3}\u{4}abcdefgh", "This is a zip archive"),
        ])
        func filesThatAreSomethingElse(name: String, content: String, words: String) throws {
            let model = try TinyModel()
            try model.write(content, "model/" + name)
            #expect(refusal(model).contains(words), "\(refusal(model))")
        }

        /// A directory whose weights have another name or form.
        @Test(arguments: [
            ("pytorch_model.bin", "but pytorch_model.bin, weights in a format that Cleave does not read. Convert them"),
            ("model.gguf", "does not begin with \"GGUF\""),
            ("gptq_model-4bit-128g.safetensors", "but gptq_model-4bit-128g.safetensors, a name under which clients do not look for weights. Rename it"),
            ("adapter_model.safetensors", "an adapter (LoRA). Merge it"), ("notes.txt", "has neither model.safetensors nor model.safetensors.index.json."),
        ])
        func weightsUnderOtherNames(name: String, words: String) throws {
            let model = try TinyModel()
            try FileManager.default.moveItem(atPath: model.model + "/model.safetensors", toPath: model.model + "/" + name)
            #expect(refusal(model).contains(words), "\(refusal(model))")
            try FileManager.default.createSymbolicLink(atPath: model.model + "/model.safetensors", withDestinationPath: "../blobs/gone")
            #expect(refusal(model).contains("model.safetensors: This is a link to ../blobs/gone, which does not exist"), "\(refusal(model))")
        }

        /// Nobody writes to these pipes: whoever waited for one would do so for ever.
        @Test(arguments: ["model.safetensors", "config.json"])
        func pipesAreRefused(name: String) throws {
            let model = try TinyModel()
            try FileManager.default.removeItem(atPath: model.model + "/" + name)
            #expect(mkfifo(model.model + "/" + name, 0o600) == 0)
            #expect(refusal(model).contains("\(name): This is a pipe; a regular file is needed"), "\(refusal(model))")
        }

        /// config.json and the tensors must say the same of what is compressed.
        @Test func codesAndSchemesBelongTogether() throws {
            let dense = try TinyModel(
                configuration: String(TinyModel.configuration.dropLast()) + #", "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}"#)
            #expect(refusal(dense).contains("remove `quantization_config`, which was left over"), "\(refusal(dense))")
            let bare = try TinyModel(configuration: String(TinyModel.configuration.dropLast()) + #", "quantization_config": {"bits": 4}}"#)
            #expect(refusal(bare).contains("no `quant_method`") && refusal(bare).contains("remove `quantization_config`"), "\(refusal(bare))")
            let model = try TinyModel()
            try model.finish(["format=gptq"])
            let open = { message { _ = try Model(path: model.output, reading: .mapped, world: TestWorld.world) } ?? "" }
            try model.write(TinyModel.configuration, "out/config.json")
            #expect(open().contains("quantize_config.json says how, but clients look into config.json"), "\(open())")
            try FileManager.default.removeItem(atPath: model.output + "/quantize_config.json")
            #expect(open().contains("config.json does not say how"), "\(open())")
        }

        @Test func plainWeightsWhereCodesAreExpected() throws {
            let model = try TinyModel()
            try model.finish(["ignore=['*.k_proj', lm_head]"])
            let sound = String(decoding: try model.read("out/config.json"), as: UTF8.self)
            let open = { message { _ = try Model(path: model.output, reading: .mapped, world: TestWorld.world) } }
            #expect(open() == nil)
            for (name, words) in [
                ("model.layers.1.self_attn.k_proj", "as plain weights: model.layers.1.self_attn.k_proj"), ("lm_head", "as plain weights: lm_head"),
            ] {
                try model.write(sound.replacingOccurrences(of: "\"\(name)\"", with: "\"other\""), "out/config.json")
                #expect(open()?.contains(words) == true && open()?.contains("add to `ignore`") == true, "\(open() ?? "none")")
            }
            try model.write(sound.replacingOccurrences(of: "\"lm_head\"", with: "\"model.layers.0.mlp.up_proj\", \"lm_head\""), "out/config.json")
            #expect(open()?.contains("`ignore` says that model.layers.0.mlp.up_proj is not compressed") == true, "\(open() ?? "none")")
            // The older key says the same.
            try model.write(sound.replacingOccurrences(of: "quantization_config", with: "compression_config"), "out/config.json")
            #expect(open() == nil)
        }

        /// Codes are compressed anew as the weights for which they stand; nothing of them is left in the result.
        @Test(arguments: ["gptq", "compressed-tensors"])
        func compressedModelsAreCompressedAgain(format: String) throws {
            let model = try TinyModel()
            try model.finish(["format=\(format)", "ignore=['*.k_proj', lm_head]"])
            let again = ["model=\(model.output)", "output=\(model.path)/again", "compress.bits=3", "ignore=['*.v_proj', lm_head]"]
            if TestWorld.world.isCoordinator { #expect(try model.job(again).remarks.contains { $0.contains("holds codes of linears (\(format)") }) }
            let size = try model.finish(again)
            // Four bits, an F16 or BF16 scale for 32 weights, and what else there is.
            #expect(size.sourceBitsPerWeight > 4.5 && size.sourceBitsPerWeight < 6.5 && size.bitsPerWeight < 4, "\(size)")
            let index = try CheckpointIndex(directory: model.path + "/again")
            let names = index.tensors.keys.filter { $0.hasPrefix("model.layers.0.self_attn.") }.map { $0.dropFirst("model.layers.0.self_attn.".count) }
            #expect(
                Set(names.filter { $0.hasPrefix("v_proj") || $0.hasPrefix("k_proj") }) == [
                    "v_proj.weight", "k_proj.weight_packed", "k_proj.weight_scale", "k_proj.weight_shape",
                ])
            #expect(index.tensors["model.layers.0.self_attn.v_proj.weight"]?.description.type == .bf16)
            let configuration = String(decoding: try model.read("again/config.json"), as: UTF8.self)
            #expect(configuration.contains("\"num_bits\": 3") && !configuration.contains("\"bits\": 4") && !configuration.contains("\"num_bits\": 4"))
            #expect(message { _ = try Model(path: model.path + "/again", reading: .mapped, world: TestWorld.world) } == nil)
        }

        /// Group sizes and shapes that a file made up must be refused, not divided by.
        @Test(arguments: [(#""group_size": 32"#, #""group_size": 0"#), (#""group_size": 32"#, #""group_size": null"#), (#""num_bits": 4"#, #""num_bits": 64"#)])
        func damagedQuantizationIsRefused(text: String, damage: String) throws {
            let model = try TinyModel()
            try model.finish()
            let configuration = String(decoding: try model.read("out/config.json"), as: UTF8.self)
            try model.write(configuration.replacingOccurrences(of: text, with: damage), "out/config.json")
            #expect(message { _ = try Model(path: model.output, reading: .mapped, world: TestWorld.world) }?.contains("group_0") == true)
        }

        @Test func perplexityOfTheDemoModelIsThatOfATrainedModel() throws {
            let path = root + "/Demo/wikillama"
            let model = try Model(path: path, reading: .mapped, world: TestWorld.world)
            let tokens = try TokenSequences.windows(
                source: root + "/Demo/evaluation.txt", length: 64, count: 4, tokenizer: path + "/tokenizer.json", vocabularySize: 4096)
            let reports = try (0..<2).map { _ in try evaluate(model, tokens, compute: .f32, world: TestWorld.world, clock: PhaseClock()) }
            // Guessing among 4096 tokens would be 4096.
            #expect(reports[0].perplexity > 1 && reports[0].perplexity < 400)
            #expect(reports[0].perplexity == reports[1].perplexity && reports[0].tokens == 256 && reports[0].windows == 4 && reports[0].length == 64)
        }

        @Test func perplexityOfAPackedModelIsThatOfTheSameModelDense() throws {
            let (packed, dense) = (try TinyModel(), try TinyModel())
            try packed.finish()
            try dense.finish(["format=dense"])
            let perplexities = try [packed, dense].map { model in
                let tokens = try TokenSequences.windows(source: model.path + "/ids.npy", length: 32, count: 5, tokenizer: "", vocabularySize: 50)
                return try evaluate(
                    Model(path: model.output, reading: .mapped, world: TestWorld.world), tokens, compute: .f32, world: TestWorld.world, clock: PhaseClock()
                )
                .perplexity
            }
            // Dense weights are rounded to bf16 once more.
            #expect(abs(perplexities[0] / perplexities[1] - 1) < 0.02)
        }
    }
}
