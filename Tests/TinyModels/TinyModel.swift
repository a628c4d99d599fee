// A Llama of a few thousand weights in a folder of its own.

internal import Foundation
package import Safetensors
internal import Transformers

/// The root of the repository.
package let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

/// A fresh folder with a model in `model/` and ids in `ids.npy`, removed when released.
package final class TinyModel {
    package let path: String
    package var model: String { path + "/model" }
    package var output: String { path + "/out" }

    package static let configuration = """
        {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "vocab_size": 50, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0}
        """

    /// - Parameter change: changes the tensors of the checkpoint before it is written.
    package init(configuration: String = TinyModel.configuration, change: ([TensorDescription]) throws -> [TensorDescription] = { $0 }) throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("cleave-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
        try write(configuration, "model/config.json")
        let architecture = try Architecture(configuration: Data(TinyModel.configuration.utf8), source: "config.json")
        let tensors = try architecture.expectedTensors().map { try TensorDescription(name: $0.name, type: .bf16, shape: $0.shape) }
        let writer = try SafetensorsWriter(path: model + "/model.safetensors", tensors: change(tensors))
        var state: UInt64 = 1
        while let tensor = writer.currentTensor {
            // bf16 of either sign, between 1/16 and 1/8.
            let bytes = (0..<tensor.byteCount).map { index in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return index % 2 == 0 ? UInt8(truncatingIfNeeded: state >> 40) : UInt8(0x3d | (state >> 56) & 0x80)
            }
            try bytes.withUnsafeBytes { try writer.append($0, to: tensor.name) }
        }
        _ = try writer.finish()
        try NumpyArray.write((0..<800).map { Int32(($0 * $0 + 7 * $0) % 50) }, to: path + "/ids.npy")
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    package func write(_ text: String, _ name: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
    }

    package func read(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
    }

    package func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

    /// Sets elements of a bf16 tensor of the model to the given bits.
    package func set(_ tensor: String, _ elements: [Int: UInt16]) throws {
        var bytes = try read("model/model.safetensors")
        let start = try SafetensorsFile(path: model + "/model.safetensors").tensors[tensor]!.bytes.lowerBound
        for (index, value) in elements {
            bytes[start + 2 * index] = UInt8(truncatingIfNeeded: value)
            bytes[start + 2 * index + 1] = UInt8(value >> 8)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: model + "/model.safetensors"))
    }

    /// Changes one byte of a file.
    package func flip(_ name: String, at position: Int) throws {
        var bytes = try read(name)
        bytes[position < 0 ? bytes.count + position : position] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
    }

    package func names(_ folder: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path + "/" + folder).sorted() }
}

/// The error that `body` throws, in words.
package func message(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return String(describing: error)
    }
}

extension NumpyArray {
    /// Writes ids that are all in memory.
    package static func write(_ values: [Int32], to path: String) throws { try write(count: values.count, to: path) { Array(values[$0]) } }
}
