// Numbers that no method can use: each is an error or a recorded remedy that names the linear, and never NaN in a result.

import Foundation
import Reporting
import Safetensors
import TestWorld
import Testing

extension PipelineTests {
    @Suite(.serialized) struct BadNumbers {
        private static let (nan, infinity, huge, zero) = (UInt16(0x7fc0), UInt16(0x7f80), UInt16(0x7f00), UInt16(0))

        @Test(arguments: [nan, infinity])
        func weightsOfACompressedLinear(bits: UInt16) throws {
            let model = try TinyModel()
            try model.set("model.layers.1.mlp.down_proj.weight", [5: bits])
            for settings in [["compress.method=rtn", "calibration=null"], []] {
                let error = message { try model.compress(settings) }
                #expect(error?.contains("model.layers.1.mlp.down_proj") == true && error?.contains("infinite or not a number") == true, "\(error ?? "none")")
                #expect(!model.exists("out/config.json"))
                try FileManager.default.removeItem(atPath: model.output)
            }
        }

        @Test(arguments: [nan, infinity])
        func weightsOfANorm(bits: UInt16) throws {
            let model = try TinyModel()
            try model.set("model.layers.1.input_layernorm.weight", [0: bits])
            let error = message { try model.compress() }
            #expect(error?.contains("the input of model.layers.1, qkv has values that are not finite") == true, "\(error ?? "none")")
            // The first block was sound, and is kept.
            try model.set("model.layers.1.input_layernorm.weight", [0: 0x3f80])
            #expect(message { try model.compress() }?.contains("model.safetensors has other bytes") == true)
        }

        /// Every weight is finite; their products are not.
        @Test func activationsThatOverflow() throws {
            let model = try TinyModel()
            try model.set("model.layers.0.mlp.gate_proj.weight", Dictionary(uniqueKeysWithValues: (0..<96 * 64).map { ($0, Self.huge) }))
            try model.set("model.layers.0.mlp.up_proj.weight", Dictionary(uniqueKeysWithValues: (0..<96 * 64).map { ($0, Self.huge) }))
            for compute in ["f32", "bf16"] {
                let error = message { try model.compress(["compute=\(compute)", "propagation=none"]) }
                #expect(error?.contains("the input of model.layers.0, down has values that are not finite") == true, "\(error ?? "none")")
                try FileManager.default.removeItem(atPath: model.output)
            }
        }

        @Test func inputsThatAreAlwaysZero() throws {
            let model = try TinyModel()
            try model.set("model.layers.0.input_layernorm.weight", [3: Self.zero, 17: Self.zero])
            try model.set("model.layers.1.post_attention_layernorm.weight", Dictionary(uniqueKeysWithValues: (0..<64).map { ($0, Self.zero) }))
            let linears = try model.compress(["format=dense"]).linears
            #expect(linears.first { $0.name.contains("layers.0.self_attn.q_proj") }?.deadColumns == 2)
            #expect(linears.first { $0.name.contains("layers.1.mlp.gate_proj") }?.deadColumns == 64)
            try model.merge(["format=dense"])
            try expectFinite(model)
        }

        /// Two tokens, and hardly any damping: rank 2 of 64.
        @Test func fewerTokensThanColumns() throws {
            let model = try TinyModel()
            let settings = ["calibration.sequences=1", "calibration.length=2", "compress.damping=1e-8", "format=dense"]
            let linears = try model.compress(settings).linears
            let raised = linears.filter { ($0.attempts ?? 0) > 1 }
            #expect(linears.allSatisfy { $0.fallback == nil && $0.tokens == 2 && $0.columns > 2 })
            #expect(!raised.isEmpty && raised.allSatisfy { ($0.damping ?? 0) > 1e-8 })
            try model.merge(settings)
            try expectFinite(model)
        }

        /// Without more damping than the rounding of the sums, a Hessian of rank 2 stays singular.
        @Test func aSingularHessianFallsBackAndTheRecipeLimitsHowOften() throws {
            let model = try TinyModel()
            let settings = ["compress.damping=1e-8", "compress.max_damping=1e-8", "calibration.length=2", "calibration.sequences=1", "format=dense"]
            let error = message { try model.compress(settings) }
            #expect(error?.contains("had to be rounded to nearest, more than `max_fallbacks: 0` allows") == true, "\(error ?? "none")")
            #expect(error?.contains("model.layers.0.self_attn.q_proj: ") == true, "\(error ?? "none")")
            let linears = try model.compress(settings + ["max_fallbacks=14"]).linears
            #expect(linears.contains { $0.fallback != nil && $0.name.contains("layers.0.self_attn.q_proj") })
            try model.merge(settings + ["max_fallbacks=14"])
            try expectFinite(model)
        }

        /// Pruning falls back to magnitude, with the sparsity that was asked for.
        @Test func aSingularHessianLeavesMagnitudes() throws {
            let few = ["calibration.length=2", "calibration.sequences=1", "format=dense"]
            for more in ["sparsity: 0.5", "sparsity: 2:4", "sparsity: 0.5, bits: 4, group: 32"] {
                let model = try TinyModel()
                let settings = ["compress={method: sparsegpt, damping: 1e-8, max_damping: 1e-8, \(more)}"] + few
                let error = message { try model.compress(settings) }
                #expect(error?.contains("had to be pruned by magnitude, more than `max_fallbacks: 0` allows") == true, "\(error ?? "none")")
                let linears = try model.compress(settings + ["max_fallbacks=14"]).linears
                #expect(linears.contains { $0.fallback != nil } && linears.allSatisfy { abs(($0.sparsity ?? 0) - 0.5) < 0.1 })
                try model.merge(settings + ["max_fallbacks=14"])
                try expectFinite(model)
            }
        }

        /// An interruption must not let more through than a run in one go.
        @Test func fallbacksOfEarlierAttemptsCount() throws {
            let model = try TinyModel()
            let settings = [
                "compress.damping=1e-8", "compress.max_damping=1e-8", "calibration.length=2", "calibration.sequences=1", "format=dense", "max_fallbacks=3",
            ]
            #expect(message { try model.compress(settings, maxHours: 1e-9) }?.contains("stopped in good order after block 1/2, qkv") == true)
            let error = message { try model.compress(settings) }
            #expect(error?.contains("4 linears had to be rounded to nearest") == true, "\(error ?? "none")")
            #expect(error?.contains("layers.0.self_attn.q_proj: ") == true && error?.contains("layers.0.self_attn.o_proj: ") == true, "\(error ?? "none")")
        }

        private func expectFinite(_ model: TinyModel) throws {
            let checkpoint = Checkpoint(index: try CheckpointIndex(directory: model.output))
            for name in checkpoint.names where checkpoint.description(name)?.type == .bf16 {
                let finite = try checkpoint.withBytes(of: name) { bytes in
                    stride(from: 0, to: bytes.count, by: 2).allSatisfy { bytes.loadUnaligned(fromByteOffset: $0, as: UInt16.self) & 0x7f80 != 0x7f80 }
                }
                #expect(finite, "\(name)")
            }
        }
    }
}
