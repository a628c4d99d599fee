// Checkpoints whose names, heads and blocks are not as config.json has them: what is said of them, and what a result holds.

import Foundation
import MessagePassing
import Models
import Recipes
import Runs
import Safetensors
import TestWorld
import Testing
import TinyModels
import Transformers

private let tied = TinyModel.configuration.replacing("{\"model_type\"", with: "{\"tie_word_embeddings\": true, \"model_type\"")

private func renamed(_ tensors: [TensorDescription], _ name: (String) -> String?) throws -> [TensorDescription] {
    try tensors.compactMap { tensor in try name(tensor.name).map { try TensorDescription(name: $0, type: tensor.type, shape: tensor.shape) } }
}

extension RunsTests {
    @Suite(.serialized) struct ModelNames {
        private func remarks(_ model: TinyModel) throws -> [String] { try Model(path: model.model, reading: .mapped, world: TestWorld.world).remarks }

        private func result(_ model: TinyModel, _ more: [String] = []) throws -> Set<String> {
            try model.finish(more)
            return Set(try CheckpointIndex(directory: model.output).tensors.keys)
        }

        /// What the rank with the files says; the others say nothing.
        private func expect(_ found: [String], _ parts: [String]) {
            guard TestWorld.world.isCoordinator else { return #expect(found.isEmpty) }
            #expect(found.count == 1 && parts.allSatisfy(found[0].contains), "\(found)")
        }

        @Test func blocksBeyondTheConfiguration() throws {
            let model = try TinyModel(configuration: TinyModel.configuration.replacing("\"num_hidden_layers\": 2", with: "\"num_hidden_layers\": 1"))
            expect(try remarks(model), ["1 block beyond the 1", "9 tensors", "model.layers.1.input_layernorm.weight", "left out"])
            let names = try result(model)
            #expect(names.contains("model.layers.0.mlp.down_proj.weight_packed") && !names.contains { $0.hasPrefix("model.layers.1.") })
        }

        /// Blocks that config.json announces are kept as they are, and clients are told that no codes are there.
        @Test(arguments: ["compressed-tensors", "gptq", "dense"])
        func blocksThatPredictFurtherTokens(format: String) throws {
            let configuration = TinyModel.configuration.replacing("\"num_hidden_layers\": 2", with: "\"num_hidden_layers\": 1, \"num_nextn_predict_layers\": 1")
            let model = try TinyModel(configuration: configuration) { tensors in
                try tensors + [TensorDescription(name: "mtp.layers.0.mlp.up_proj.weight", type: .bf16, shape: [96, 64])]
            }
            expect(try remarks(model), ["blocks that predict further tokens (10 tensors", "model.layers.1.input_layernorm.weight", "uncompressed"])
            let names = try result(model, ["format=\(format)"])
            #expect(
                names.contains(
                    format == "dense"
                        ? "model.layers.0.mlp.down_proj.weight" : "model.layers.0.mlp.down_proj." + (format == "gptq" ? "qweight" : "weight_packed")))
            #expect(names.isSuperset(of: ["model.layers.1.mlp.down_proj.weight", "mtp.layers.0.mlp.up_proj.weight"]))
            let text = String(decoding: try model.read("out/config.json"), as: UTF8.self)
            for pattern in ["(.*[.])?layers[.]1[.].*", "(.*[.])?mtp[.].*"] {
                #expect(text.contains(format == "gptq" ? "\"-:\(pattern)\"" : "\"re:\(pattern)\"") == (format != "dense"), "\(text)")
            }
            // What was written is read again.
            #expect(message { _ = try Model(path: model.output, reading: .mapped, world: TestWorld.world) } == nil)
        }

        @Test func tensorsThatTheModelDoesNotUse() throws {
            let model = try TinyModel { tensors in
                try tensors + [
                    TensorDescription(name: "model.layers.0.self_attn.rotary_emb.inv_freq", type: .f32, shape: [8]),
                    TensorDescription(name: "model.layers.0.self_attn.q_proj.bias", type: .bf16, shape: [64]),
                ]
            }
            expect(try remarks(model), ["(1): model.layers.0.self_attn.q_proj.bias"])
            #expect(try result(model).isSuperset(of: ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.rotary_emb.inv_freq"]))
        }

        @Test func anotherHeadThanTheEmbedding() throws {
            let model = try TinyModel(configuration: tied)
            expect(try remarks(model), ["lm_head.weight", "differs", "tie_word_embeddings: false"])
            #expect(try Model(path: model.model, reading: .mapped, world: TestWorld.world).architecture.head.isTied == false)
            #expect(try result(model).contains("lm_head.weight"))
            #expect(String(decoding: try model.read("out/config.json"), as: UTF8.self).contains("\"tie_word_embeddings\": false"))
        }

        @Test func theSameHeadAsTheEmbedding() throws {
            let model = try TinyModel(configuration: tied)
            var bytes = try model.read("model/model.safetensors")
            let file = try SafetensorsFile(path: model.model + "/model.safetensors")
            let (head, embedding) = (try #require(file.tensors["lm_head.weight"]), try #require(file.tensors["model.embed_tokens.weight"]))
            bytes.replaceSubrange(head.bytes, with: bytes[embedding.bytes])
            try Data(bytes).write(to: URL(fileURLWithPath: model.model + "/model.safetensors"))
            #expect(try remarks(model).isEmpty)
            #expect(try Model(path: model.model, reading: .mapped, world: TestWorld.world).architecture.head.isTied)
        }

        @Test func onlyTheHeadOfATiedModel() throws {
            let model = try TinyModel(configuration: tied) { try renamed($0) { $0 == "model.embed_tokens.weight" ? nil : $0 } }
            expect(try remarks(model), ["lm_head.weight alone"])
            let names = try result(model)
            #expect(names.contains("model.embed_tokens.weight") && !names.contains("lm_head.weight"))
        }

        @Test func aMissingHeadIsExplained() throws {
            let model = try TinyModel { try renamed($0) { $0 == "lm_head.weight" ? nil : $0 } }
            #expect(message { _ = try remarks(model) }?.contains("`tie_word_embeddings: true`") == true)
        }

        /// Results have the family's names, and the bytes of a checkpoint that has them too; linears answer to both names.
        @Test(arguments: ["dense", "compressed-tensors", "gptq"])
        func namesWithoutThePrefix(format: String) throws {
            let plain = try TinyModel()
            func short(_ name: String) -> String { name.hasPrefix("model.") ? String(name.dropFirst(6)) : name }
            let model = try TinyModel { try renamed($0, short) }
            // The same numbers, which lie in another order in the file.
            let (file, plainFile) = ("/model.safetensors", try SafetensorsFile(path: plain.model + "/model.safetensors"))
            let places = try SafetensorsFile(path: model.model + file).tensors
            var bytes = try model.read("model" + file)
            let plainBytes = try plain.read("model" + file)
            for (name, tensor) in plainFile.tensors { bytes.replaceSubrange(try #require(places[short(name)]).bytes, with: plainBytes[tensor.bytes]) }
            try Data(bytes).write(to: URL(fileURLWithPath: model.model + file))
            expect(try remarks(model), ["embed_tokens for model.embed_tokens"])
            let ignore = "ignore=['lm_head', 'layers.0.mlp.*', 'model.layers.1.mlp.down_proj']"
            let plainIgnore = "ignore=['lm_head', 'model.layers.0.mlp.*', 'model.layers.1.mlp.down_proj']"
            #expect(try result(model, ["format=\(format)", ignore]) == result(plain, ["format=\(format)", plainIgnore]))
            #expect(try model.read("out/config.json") == plain.read("out/config.json"))
            #expect(try model.read("out/model.safetensors") == plain.read("out/model.safetensors"))
        }

        @Test func wideNumbers() throws {
            let model = try TinyModel { try $0.map { try TensorDescription(name: $0.name, type: $0.name.contains("norm") ? .f64 : $0.type, shape: $0.shape) } }
            expect(try remarks(model), ["F64", "(5)"])
            try model.finish()
        }

        @Test func sequencesLongerThanThePositions() throws {
            let model = try TinyModel()
            #expect(try model.job().remarks.isEmpty)
            expect(try model.job(["calibration.length=100"]).remarks, ["`calibration.length`", "100", "64"])
        }
    }
}
