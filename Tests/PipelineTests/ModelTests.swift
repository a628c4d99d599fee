// Models that are refused, evaluation, and token ids.

import Foundation
import MessagePassing
import Pipeline
import Recipes
import Reporting
import Safetensors
import TestWorld
import Testing
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
            #expect(refusal(model).contains("tensor lm_head.weight is of type I16; F32, F16 or BF16 is needed"))
        }

        @Test func foldersThatAreNoModel() throws {
            let model = try TinyModel()
            #expect(message { _ = try Model(path: "/nonexistent/a", reading: .mapped, world: TestWorld.world) } == "/nonexistent/a: no such model directory")
            #expect(message { _ = try Model(path: model.path + "/ids.npy", reading: .mapped, world: TestWorld.world) }?.contains("is a file") == true)
            #expect(message { _ = try Model(path: model.path, reading: .mapped, world: TestWorld.world) }?.contains("config.json is missing") == true)
        }

        @Test func compressedModelsAreNotCompressedAgain() throws {
            let model = try TinyModel()
            try model.finish()
            #expect(message { _ = try model.job(["model=\(model.output)", "output=\(model.path)/again"]) }?.contains("compressed already") == true)
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
