// Numbers that no method can use: each is an error or a recorded remedy that names the linear, and never NaN in a result.

import Foundation
import Reporting
import Runs
import Safetensors
import TestWorld
import Testing
import TinyModels

extension RunsTests {
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

        /// Wherever it is, also where no calibration text would come upon it; before any work.
        @Test(arguments: [nan, infinity], ["lm_head.weight", "model.norm.weight", "model.embed_tokens.weight", "model.layers.1.input_layernorm.weight"])
        func weightsOutsideTheLinears(bits: UInt16, tensor: String) throws {
            let model = try TinyModel()
            let isNorm = tensor.contains("norm")
            // The last row and column.
            try model.set(tensor, [isNorm ? 63 : 50 * 64 - 1: bits])
            let place = isNorm ? "[63]" : "[49, 63]"
            for settings in [["compress.method=rtn", "calibration=null"], []] {
                let error = message { try model.compress(settings) }
                #expect(error?.contains("tensor \(tensor) is infinite or not a number at \(place)") == true, "\(error ?? "none")")
                let journals = model.exists("out/cleave/journal") ? try model.names("out/cleave/journal") : []
                #expect(journals.isEmpty)
                try FileManager.default.removeItem(atPath: model.output)
            }
        }

        /// Every weight is finite; their products are not.
        @Test func activationsThatOverflow() throws {
            let model = try TinyModel()
            try model.set("model.layers.0.mlp.gate_proj.weight", Dictionary(uniqueKeysWithValues: (0..<96 * 64).map { ($0, Self.huge) }))
            try model.set("model.layers.0.mlp.up_proj.weight", Dictionary(uniqueKeysWithValues: (0..<96 * 64).map { ($0, Self.huge) }))
            for compute in ["f32", "bf16"] {
                let error = message { try model.compress(["compute=\(compute)", "propagation=none", "max_clamped_scales=1"]) }
                #expect(error?.contains("the input of model.layers.0, down has values that are not finite") == true, "\(error ?? "none")")
                try FileManager.default.removeItem(atPath: model.output)
            }
        }

        /// Columns without input keep their weights; a linear without any is a fallback, and both have limits.
        @Test func inputsThatAreAlwaysZero() throws {
            let model = try TinyModel()
            try model.set("model.layers.0.input_layernorm.weight", [3: Self.zero, 17: Self.zero])
            try model.set("model.layers.1.post_attention_layernorm.weight", Dictionary(uniqueKeysWithValues: (0..<64).map { ($0, Self.zero) }))
            let error = message { try model.compress(["format=dense"]) }
            #expect(error?.contains("2 linears had to be rounded to nearest, more than `max_fallbacks: 0` allows") == true, "\(error ?? "none")")
            #expect(error?.contains("model.layers.1.mlp.gate_proj: The inputs of all 64 columns were zero") == true, "\(error ?? "none")")
            let strict = message { try model.compress(["format=dense", "max_dead_columns=0.03"]) }
            #expect(strict?.contains("than `max_dead_columns: 0.03` allows") == true, "\(strict ?? "none")")
            #expect(strict?.contains("model.layers.0.self_attn.q_proj: 2 of 64 columns") == true, "\(strict ?? "none")")
            // What these leave is zero, so that the linear after them has no input either.
            let settings = ["format=dense", "max_fallbacks=3"]
            let linears = try model.compress(settings).linears
            let query = linears.first { $0.name.contains("layers.0.self_attn.q_proj") }
            #expect(query?.deadColumns == 2 && query?.fallback == nil && (query?.effectiveRank ?? 0) > 2)
            #expect(linears.filter { $0.fallback != nil }.map(\.name) == ["gate_proj", "up_proj", "down_proj"].map { "model.layers.1.mlp.\($0)" })
            try model.merge(settings)
            try expectFinite(model)
            let tensor = "model.layers.0.self_attn.q_proj.weight"
            let (old, new) = (try Self.weights(model.model, tensor), try Self.weights(model.output, tensor))
            for row in 0..<64 {
                for column in [3, 17] {
                    // Rounded, or cut off with the others of its group; weights are from 1/16 to 1/8.
                    #expect(abs(old[row * 64 + column] - new[row * 64 + column]) <= 0.25 * 0.125)
                    #expect(new[row * 64 + column] != 0)
                }
            }
        }

        /// A bf16 tensor as numbers.
        private static func weights(_ directory: String, _ tensor: String) throws -> [Float] {
            try Checkpoint(index: CheckpointIndex(directory: directory)).withBytes(of: tensor) { bytes in
                stride(from: 0, to: bytes.count, by: 2).map { Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: $0, as: UInt16.self)) << 16) }
            }
        }

        /// One token again and again: said before the run, found in the Hessians, and in the report.
        @Test func calibrationThatSaysNothing() throws {
            let model = try TinyModel()
            try NumpyArray.write([Int32](repeating: 7, count: 400), to: model.path + "/ids.npy")
            let job = try model.job()
            #expect(job.calibrationRemarks.contains { $0.contains("only 1 different token (the model's width is 64)") })
            let linears = try model.compress().linears
            #expect(linears.count == 14 && linears.allSatisfy { ($0.effectiveRank ?? 9) < 1.01 })
            #expect(try !TinyModel().job().calibrationRemarks.contains { $0.contains("different token") })
        }

        /// The widest linear decides: 96 columns, so 64 times as many tokens are enough.
        @Test(arguments: [(191, true), (192, false)])
        func fewTokensForAColumn(sequences: Int, isNoted: Bool) throws {
            let model = try TinyModel()
            try NumpyArray.write((0..<6144).map { Int32(($0 * $0 + 7 * $0) % 50) }, to: model.path + "/ids.npy")
            let remarks = try model.job(["calibration.sequences=\(sequences)"]).calibrationRemarks
            #expect(remarks.contains { $0.contains("63.7 tokens for each of the 96 columns of model.layers.0.mlp.down_proj") } == isNoted)
        }

        /// Scales that the format's type cannot hold: an error that names the linear, unless the recipe allows it.
        @Test(arguments: [-17, 24])
        func scalesOutsideTheirType(exponent: Int) throws {
            let model = try TinyModel()
            let name = "model.layers.0.self_attn.v_proj"
            // Bits of bf16: the exponent moved, signs as they are.
            let old = try Self.bits(model, name + ".weight")
            try model.set(
                name + ".weight", Dictionary(uniqueKeysWithValues: old.enumerated().map { ($0, UInt16(Int($1) + exponent << 7)) }))
            let settings = ["format=gptq", "compute=f32"]
            let error = message { try model.compress(settings) }
            #expect(error?.contains("than `max_clamped_scales: 0.01` allows") == true, "\(error ?? "none")")
            #expect(error?.contains("\(name): 64 of 64 scales are outside") == true && error?.contains("f16") == true, "\(error ?? "none")")
            // Weights that become zero leave the next linear without input.
            let linears = try model.compress(settings + ["max_clamped_scales=1", "max_fallbacks=1"]).linears
            #expect(linears.filter { $0.clampedScales != nil }.map(\.name) == [name] && linears.first { $0.name == name }?.clampedScales == 64)
            try FileManager.default.removeItem(atPath: model.output)
            #expect(try model.compress(["format=compressed-tensors"]).linears.allSatisfy { $0.clampedScales == nil })
        }

        private static func bits(_ model: TinyModel, _ tensor: String) throws -> [UInt16] {
            try Checkpoint(index: CheckpointIndex(directory: model.model)).withBytes(of: tensor) { bytes in
                stride(from: 0, to: bytes.count, by: 2).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt16.self) }
            }
        }

        /// Two tokens, and hardly any damping: rank 2 of 64.
        @Test func fewerTokensThanColumns() throws {
            let model = try TinyModel()
            let few = ["calibration.sequences=1", "calibration.length=2", "compress.damping=1e-8", "format=dense"]
            let error = message { try model.compress(few) }
            #expect(error?.contains("linears had to be raised, a larger share than `max_raised_dampings: 0.1` allows") == true, "\(error ?? "none")")
            #expect(error?.contains("model.layers.0.self_attn.q_proj: damping ") == true, "\(error ?? "none")")
            let settings = few + ["max_raised_dampings=1"]
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
