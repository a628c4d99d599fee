// The finished checkpoint: its files, its shards, and what verification finds when it is damaged.

import Checkpoints
import Foundation
import MessagePassing
import Reporting
import Runs
import Safetensors
import TestWorld
import Testing
import TinyModels

extension RunsTests {
    @Suite(.serialized) struct MergedCheckpoints {
        @Test func isCompleteAndSound() throws {
            let model = try TinyModel()
            try model.write("{}", "model/tokenizer_config.json")
            let size = try model.finish()
            #expect(try model.names("out").filter { $0 != "cleave" } == ["cleave_manifest.json", "config.json", "model.safetensors", "tokenizer_config.json"])
            #expect(size.outputBytes < size.sourceBytes && size.bitsPerWeight > 4 && size.bitsPerWeight < 5 && size.sourceBitsPerWeight == 16)
            let found = try verify(model.output, world: TestWorld.world)
            #expect(found.problems.isEmpty && found.files == 3 && found.bytes > size.outputBytes)
            let configuration = String(decoding: try model.read("out/config.json"), as: UTF8.self)
            #expect(configuration.contains("pack-quantized") && configuration.contains("\"rope_theta\": 10000.0"))
            #expect(try model.job().enter().standing == .finished)
            #expect(message { _ = try model.job(["compress.bits=8"]).enter() }?.contains("finished checkpoint of another plan") == true)
        }

        @Test(arguments: [5000, 20_000])
        func shardsKeepTheirSize(limit: Int) throws {
            let (model, whole) = (try TinyModel(), try TinyModel())
            try model.finish(["max_shard_size=\(limit)"])
            try whole.finish()
            let shards = try model.names("out").filter { $0.hasSuffix(".safetensors") }
            #expect(shards.count > 1)
            for shard in shards {
                let tensors = try SafetensorsFile(path: model.output + "/" + shard).entries
                #expect(tensors.count == 1 || tensors.reduce(0) { $0 + $1.description.byteCount } <= limit)
            }
            let (found, expected) = (
                Checkpoint(index: try CheckpointIndex(directory: model.output)), Checkpoint(index: try CheckpointIndex(directory: whole.output))
            )
            #expect(found.names == expected.names)
            for name in found.names {
                #expect(try found.withBytes(of: name) { Array($0) } == expected.withBytes(of: name) { Array($0) }, "\(name)")
            }
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        /// A file of the result, and what is done to it.
        @Test(arguments: ["flip", "truncate", "remove", "config", "index", "manifest", "no manifest"])
        func verificationFindsDamage(kind: String) throws {
            let model = try TinyModel()
            try model.finish(["max_shard_size=20000"])
            let shard = try #require(try model.names("out").first { $0.hasSuffix(".safetensors") })
            switch kind {
            case "flip": try model.flip("out/" + shard, at: -1)
            case "truncate": try model.write("short", "out/" + shard)
            case "remove": try FileManager.default.removeItem(atPath: model.output + "/" + shard)
            case "config": try model.flip("out/config.json", at: 3)
            case "index": try model.flip("out/model.safetensors.index.json", at: 40)
            case "manifest":
                let text = String(decoding: try model.read("out/cleave_manifest.json"), as: UTF8.self)
                try model.write(text.replacingOccurrences(of: "\"BF16\"", with: "\"F16\""), "out/cleave_manifest.json")
            default: try FileManager.default.removeItem(atPath: model.output + "/cleave_manifest.json")
            }
            if let part = ["manifest": "cleave_manifest.json is damaged", "no manifest": "cleave_manifest.json is missing"][kind] {
                #expect(message { _ = try verify(model.output, world: TestWorld.world) }?.contains(part) == true)
                return
            }
            let problems = try verify(model.output, world: TestWorld.world).problems
            let parts = [
                "flip": "checksum", "truncate": "5 bytes, the manifest says", "remove": "missing", "config": "config.json: checksum",
                "index": "index.json: checksum",
            ]
            #expect(problems.contains { $0.contains(parts[kind] ?? "?") }, "\(problems)")
        }

        @Test(arguments: [(#""bytes":\d+"#, #""bytes":9223372036854775807"#), (#""bytes":\d+"#, #""bytes":-1"#), (#""name":""#, #""name":"../"#)])
        func manifestsOfImpossibleFilesAreRefused(pattern: String, replacement: String) throws {
            let model = try TinyModel()
            try model.finish()
            var object = try #require(JSONSerialization.jsonObject(with: Data(model.read("out/cleave_manifest.json"))) as? [String: Any])
            object["seal"] = nil
            let sound = String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
            let text = sound.replacingOccurrences(of: pattern, with: replacement, options: .regularExpression)
            try model.write(#"{"seal":"\#(Array(text.utf8).withUnsafeBytes { Checksum.of($0) })",\#(text.dropFirst())"#, "out/cleave_manifest.json")
            #expect(message { _ = try verify(model.output, world: TestWorld.world) }?.contains("is damaged: a file") == true)
        }

        /// A folder stands where a file should go, so the merge fails before or after the shards.
        @Test(arguments: ["model.safetensors", "tokenizer_config.json"])
        func anInterruptedMergeLooksUnfinished(obstacle: String) throws {
            let model = try TinyModel()
            try model.write("{}", "model/tokenizer_config.json")
            try model.finish()
            try FileManager.default.removeItem(atPath: model.output + "/" + obstacle)
            try FileManager.default.createDirectory(atPath: model.output + "/" + obstacle + "/x", withIntermediateDirectories: true)
            #expect(throws: (any Error).self) { try model.merge() }
            #expect(!model.exists("out/config.json") && !model.exists("out/cleave_manifest.json"))
            #expect(try model.names("out").allSatisfy { !$0.contains(".tmp") })
            // With the obstacle gone, merging again is enough.
            try FileManager.default.removeItem(atPath: model.output + "/" + obstacle)
            try model.merge()
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        @Test func otherCheckpointsAreNotOverwritten() throws {
            let model = try TinyModel()
            try FileManager.default.createDirectory(atPath: model.output, withIntermediateDirectories: true)
            try model.write("{}", "out/config.json")
            #expect(message { _ = try model.job().enter() }?.contains("Cleave did not write") == true)
        }

        /// Every combination that a recipe allows runs, also those that fall back.
        @Test(arguments: [
            ["compress={method: rtn, act_order: true, static_groups: false, group: 32}", "format=dense"],
            ["compress={static_groups: false, grid: solved, act_order: false, group: 32}"],
            ["compress={method: rtn, grid: mse, group: 32}"], ["compress={bits: 3, group: 16, static_groups: false, symmetric: false}", "format=dense"],
            ["compress={method: sparsegpt, sparsity: 0.5}"], ["compress={method: sparsegpt, sparsity: 2:4, bits: 4, group: 32}"],
            ["compress={method: sparsegpt, sparsity: 0.5, bits: 4, group: 32, static_groups: true}"],
            ["compress={method: sparsegpt, sparsity: 0.5, bits: 4, group: 32}", "format=gptq"], ["compress={method: wanda, sparsity: 2:4}", "format=dense"],
            ["compress={method: magnitude, sparsity: 0.5, bits: 8, group: -1}", "calibration=null"],
            ["compress={bits: 8, group: -1}", "propagation=block"], ["compress={group: 32}", "propagation=none", "compute=bf16"],
        ])
        func treatments(overrides: [String]) throws {
            let model = try TinyModel()
            try model.finish(overrides)
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }
    }
}
