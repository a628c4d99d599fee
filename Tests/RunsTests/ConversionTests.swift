// Conversions between formats on a tiny model, and what they refuse.

import Calibration
import Checkpoints
import Foundation
import MessagePassing
import Models
import Recipes
import Reporting
import Safetensors
import TestWorld
import Testing
import Texts
import TinyModels
import Transformers

extension RunsTests {
    @Suite(.serialized) struct Conversions {
        private func convert(_ model: TinyModel, _ source: String, _ format: OutputFormat, _ output: String) throws {
            _ = try Conversion("\(model.path)/\(source)", to: format, output: "\(model.path)/\(output)", reading: .pread, world: TestWorld.world).run()
        }

        private func expectSame(_ model: TinyModel, _ one: String, _ other: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let names = try model.names(one).filter { $0 != "cleave" }
            #expect(try model.names(other).filter { $0 != "cleave" } == names, sourceLocation: sourceLocation)
            for name in names { #expect(try model.read("\(one)/\(name)") == model.read("\(other)/\(name)"), "\(name)", sourceLocation: sourceLocation) }
        }

        /// Through GPTQ's format and back: widths, schemes side by side, shards.
        @Test(arguments: [
            ["compress.bits=2"], ["compress.bits=3"], ["compress.bits=8", "compress.symmetric=false"], ["compress.group=-1"],
            ["rules=[{match: '*.mlp.*', bits: 8, group: 16}, {match: '*.o_proj', group: -1}, {match: '*'}]", "ignore=['model.layers.0.*', '*.k_proj']"],
            ["max_shard_size=12000"], ["compress.act_order=true"], ["compress.act_order=false"],
        ])
        func thereAndBack(settings: [String]) throws {
            let model = try TinyModel()
            try model.finish(settings)
            try convert(model, "out", .gptqV2, "there")
            #expect(try verify(model.path + "/there", world: TestWorld.world).problems.isEmpty)
            try convert(model, "there", .compressedTensors, "back")
            try expectSame(model, "out", "back")
        }

        @Test func groupsOfPermutedColumnsAreCarriedByGPTQAlone() throws {
            let model = try TinyModel()
            try model.finish(["compress.act_order=true", "compress.static_groups=false", "format=gptq_v2", "compress.symmetric=false"])
            try convert(model, "out", .gptqV2, "copy")
            try expectSame(model, "out", "copy")
            #expect(message { try convert(model, "out", .compressedTensors, "no") }?.contains("groups of permuted columns") == true)
            try convert(model, "out", .dense, "dense")
            let perplexities = try ["out", "dense"].map { directory in
                let tokens = try TokenSequences.windows(source: model.path + "/ids.npy", length: 32, count: 5, tokenizer: "", vocabularySize: 50)
                let opened = try Model(path: "\(model.path)/\(directory)", reading: .mapped, world: TestWorld.world)
                return try evaluate(opened, tokens, compute: .f32, world: TestWorld.world, clock: PhaseClock()).perplexity
            }
            #expect(abs(perplexities[0] / perplexities[1] - 1) < 0.02)
        }

        /// A checkpoint that another program wrote has no manifest; its files are named in the new one.
        @Test func checkpointsOfOthers() throws {
            let model = try TinyModel()
            try model.finish()
            try FileManager.default.removeItem(atPath: model.output + "/cleave_manifest.json")
            try convert(model, "out", .gptq, "there")
            let object = try #require(JSONSerialization.jsonObject(with: Data(model.read("there/cleave_manifest.json"))) as? [String: Any])
            #expect((object["source"] as? [String: Any])?.keys.sorted() == ["config.json", "model.safetensors"] && object["planHash"] == nil)
            #expect(try verify(model.path + "/there", world: TestWorld.world).problems.isEmpty)
        }

        @Test func whatCannotBeConverted() throws {
            let model = try TinyModel()
            try model.finish(["format=gptq"])
            #expect(message { try convert(model, "model", .gptq, "no") }?.contains("is dense") == true)
            #expect(message { try convert(model, "out", .gptqV2, "out") }?.contains("is the model's own") == true)
            #expect(message { try convert(model, "out", .gptqV2, "model") }?.contains("holds a checkpoint") == true)
            #expect(message { try convert(model, "out", .marlin, "no") }?.contains("format marlin cannot carry model.layers.0.self_attn.q_proj") == true)
            #expect(message { try convert(model, "out", .compressedTensors, "no") }?.contains("is no bf16 number") == true)
            #expect(!model.exists("no"))
            try model.flip("out/cleave_manifest.json", at: 100)
            #expect(message { try convert(model, "out", .gptqV2, "no") }?.contains("damaged") == true)
        }

        @Test func linearsAreDescribed() throws {
            let model = try TinyModel()
            try model.finish(["format=gptq_v2", "rules=[{match: '*.down_proj', bits: 3, group: 16, symmetric: false}, {match: '*'}]", "ignore=['*.k_proj']"])
            let linears = try compressedLinears(CheckpointIndex(directory: model.output))
            #expect(linears.count == 12 && linears.allSatisfy { $0.format == "gptq_v2" })
            let down = try #require(linears.first { $0.name == "model.layers.1.mlp.down_proj" })
            #expect(down.scheme == "gptq_v2 3 bits g16 asymmetric" && down.rows == 64 && down.columns == 96)
            #expect(linears.filter { $0.scheme == "gptq_v2 4 bits g32 symmetric" }.count == 10)
            #expect(try compressedLinears(CheckpointIndex(directory: model.model)).isEmpty)
        }
    }
}
