// Results as models: read again, compressed again, evaluated; and what is refused of them.

import Calibration
import Foundation
import Glibc
import MessagePassing
import Models
import Recipes
import Reporting
import Runs
import Safetensors
import TestWorld
import Testing
import Texts
import TinyModels
import Transformers

extension RunsTests {
    @Suite(.serialized) struct Models {
        private func refusal(_ model: TinyModel) -> String { message { _ = try Model(path: model.model, reading: .mapped, world: TestWorld.world) } ?? "" }

        /// A job that is only looked at, as `cleave plan` does, reads no weights; measuring its channels reads them once.
        @Test func channelsAreMeasuredWhenWeightsAreNeeded() throws {
            let model = try TinyModel(), job = try model.job(["equalize=true"])
            // Its directory goes with it.
            defer { withExtendedLifetime(model) {} }
            #expect(job.model.checkpoint.bytesRead == 0)
            try job.measureChannels()
            let read = job.model.checkpoint.bytesRead
            #expect(read > 0)
            try job.measureChannels()
            #expect(job.model.checkpoint.bytesRead == read)
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
