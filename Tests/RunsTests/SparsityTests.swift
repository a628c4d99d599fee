// Pruned checkpoints: their zeros, what clients are told, and what the report says.

import Checkpoints
import Foundation
import Reporting
import Safetensors
import TestWorld
import Testing
import TinyModels

extension RunsTests {
    @Suite(.serialized) struct Sparsity {
        /// Weights of a merged linear as bits of bf16.
        private func weights(_ model: TinyModel, _ name: String) throws -> [UInt16] {
            try Checkpoint(index: try CheckpointIndex(directory: model.output)).withBytes(of: name + ".weight") { bytes in
                stride(from: 0, to: bytes.count, by: 2).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt16.self) }
            }
        }

        @Test(arguments: ["dense", "compressed-tensors", "gptq", "marlin"])
        func valuesArePlainTensorsThatClientsAreToldNothingOf(format: String) throws {
            let model = try TinyModel()
            let settings = ["compress={method: sparsegpt, sparsity: 0.5}", "format=\(format)"]
            let linears = try model.compress(settings).linears
            let size = try model.merge(settings)
            #expect(size.bitsPerWeight == 16 && size.outputBytes == size.sourceBytes)
            #expect(linears.count == 14 && linears.allSatisfy { $0.bits == nil && $0.group == nil && $0.loss != nil })
            #expect(!String(decoding: try model.read("out/config.json"), as: UTF8.self).contains("quantization_config"))
            for linear in linears {
                let weights = try weights(model, linear.name)
                let zeros = weights.count { $0 & 0x7fff == 0 }
                // One mask block of 64 or 96 columns; what scores as low as the threshold is pruned, too, and bf16 weights of a column may score alike.
                #expect((1...3).contains(zeros - weights.count / 2), "\(linear.name)")
                #expect(linear.sparsity == Double(zeros) / Double(weights.count))
            }
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        @Test func besidePackedLinearsTheyAreNamed() throws {
            let model = try TinyModel()
            let settings = [
                "compress={method: sparsegpt, sparsity: 2:4}",
                "rules=[{match: '*.down_proj', bits: 4, group: 32}, {match: '*.o_proj', method: gptq, group: 32}, {match: '*'}]",
            ]
            let linears = try model.compress(settings).linears
            try model.merge(settings)
            let configuration = try #require(JSONSerialization.jsonObject(with: Data(model.read("out/config.json"))) as? [String: Any])
            let ignored = try #require((configuration["quantization_config"] as? [String: Any])?["ignore"] as? [String])
            #expect(ignored.sorted() == (linears.filter { $0.bits == nil }.map(\.name) + ["lm_head"]).sorted() && ignored.count == 11)
            let weights = try weights(model, "model.layers.1.mlp.up_proj")
            #expect(stride(from: 0, to: weights.count, by: 4).allSatisfy { first in (first..<first + 4).count { weights[$0] & 0x7fff == 0 } == 2 })
            for linear in linears {
                let isPruned = !linear.name.hasSuffix("o_proj"), isPacked = linear.name.hasSuffix("down_proj") || !isPruned
                #expect((linear.sparsity != nil) == isPruned && (linear.bits == 4) == isPacked && (linear.sparsity ?? 0.5) >= 0.5, "\(linear.name)")
            }
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        /// In each linear as many blocks as the share asks for, and no zeros beside them.
        @Test func zerosLieInBlocks() throws {
            let model = try TinyModel()
            let settings = ["compress={method: exactobs, sparsity: 0.4, sparsity_block: 4}"]
            let linears = try model.compress(settings).linears
            try model.merge(settings)
            for linear in linears {
                let weights = try weights(model, linear.name), blocks = stride(from: 0, to: weights.count, by: 4).map { weights[$0..<$0 + 4] }
                let empty = blocks.count { $0.allSatisfy { $0 & 0x7fff == 0 } }
                #expect(empty == Int(Double(weights.count) * 0.4) / 4 + 1, "\(linear.name)")
                #expect(weights.count { $0 & 0x7fff == 0 } == 4 * empty && linear.sparsity == Double(4 * empty) / Double(weights.count), "\(linear.name)")
            }
            #expect(try verify(model.output, world: TestWorld.world).problems.isEmpty)
        }

        /// Tiles of the first stage are kept, those of later ones are still to be solved.
        @Test func aRunThatWasStoppedGoesOn() throws {
            for settings in ["sparsegpt", "admm", "exactobs", "magnitude"].map({ ["compress={method: \($0), sparsity: 0.4}"] }) {
                let (model, undisturbed) = (try TinyModel(), try TinyModel())
                try undisturbed.finish(settings)
                #expect(message { try model.compress(settings, maxHours: 1e-9) }?.contains("stopped in good order after block 1/2, qkv") == true)
                #expect(try model.compress(settings).tiles.reused == 3)
                try model.merge(settings)
                #expect(try model.read("out/model.safetensors") == undisturbed.read("out/model.safetensors"))
            }
        }

        @Test func anotherSparsityIsAnotherPlan() throws {
            let model = try TinyModel()
            try model.compress(["compress={method: sparsegpt, sparsity: 0.5}"])
            let refusal = message { try model.compress(["compress={method: sparsegpt, sparsity: 0.6}"]) }
            #expect(refusal?.contains("sparsity was 0.5, is 0.6 for model.layers.0.mlp.down_proj and 13 more linears") == true, "\(refusal ?? "none")")
        }
    }
}
