// A Llama of one block whose last linear has many columns: its Hessian is far larger than everything else.

import Foundation

/// A model directory with ids beside it, removed when released.
final class WideModel {
    private let directory: TemporaryDirectory
    var path: String { directory.path + "/model" }
    var recipe: String { directory.path + "/recipe.yaml" }

    /// - Parameter blocks: equal in shape.
    init(columns: Int, blocks: Int = 1) throws {
        directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let (hidden, vocabulary) = (128, 64)
        var tensors: [(String, [Int])] = [("model.embed_tokens.weight", [vocabulary, hidden]), ("model.norm.weight", [hidden])]
        for block in 0..<blocks {
            let name = "model.layers.\(block)."
            for linear in ["q_proj", "k_proj", "v_proj", "o_proj"] { tensors.append((name + "self_attn.\(linear).weight", [hidden, hidden])) }
            tensors += [
                (name + "mlp.gate_proj.weight", [columns, hidden]), (name + "mlp.up_proj.weight", [columns, hidden]),
                (name + "mlp.down_proj.weight", [hidden, columns]), (name + "input_layernorm.weight", [hidden]),
                (name + "post_attention_layernorm.weight", [hidden]),
            ]
        }
        try write(tensors).write(to: URL(fileURLWithPath: path + "/model.safetensors"))
        try Data(
            """
            {"model_type": "llama", "hidden_size": \(hidden), "intermediate_size": \(columns), "num_hidden_layers": \(blocks), "num_attention_heads": 4,
             "num_key_value_heads": 4, "vocab_size": \(vocabulary), "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu",
             "tie_word_embeddings": true}
            """.utf8
        ).write(to: URL(fileURLWithPath: path + "/config.json"))
        try ids(4096, below: vocabulary).write(to: URL(fileURLWithPath: directory.path + "/ids.npy"))
        try Data(
            """
            model: \(path)
            output: \(directory.path)/out
            calibration: {source: \(directory.path)/ids.npy, sequences: 6, length: 128, batch: 1}
            compress: {bits: 4, group: 64}
            """.utf8
        ).write(to: URL(fileURLWithPath: recipe))
    }

    func output(_ name: String) -> String { directory.path + "/" + name }

    /// bf16 of either sign, between 1/16 and 1/8; norms of 1.
    private func write(_ tensors: [(String, [Int])]) -> Data {
        var (entries, data, state) = ([String](), Data(), UInt64(1))
        for (name, shape) in tensors {
            let start = data.count
            for _ in 0..<shape.reduce(1, *) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                data.append(shape.count == 1 ? 0x80 : UInt8(truncatingIfNeeded: state >> 40))
                data.append(shape.count == 1 ? 0x3f : UInt8(truncatingIfNeeded: 0x3d | (state >> 56) & 0x80))
            }
            entries.append("\"\(name)\": {\"dtype\": \"BF16\", \"shape\": \(shape), \"data_offsets\": [\(start), \(data.count)]}")
        }
        let header = "{\(entries.joined(separator: ", "))}"
        let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        return withUnsafeBytes(of: UInt64(padded.utf8.count).littleEndian) { Data($0) } + Data(padded.utf8) + data
    }

    /// A NumPy file of int32.
    private func ids(_ count: Int, below bound: Int) -> Data {
        let header = "{'descr': '<i4', 'fortran_order': False, 'shape': (\(count),), }"
        let padded = header + String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
        var data = Data([0x93]) + Data("NUMPY".utf8) + Data([1, 0, UInt8(padded.utf8.count & 255), UInt8(padded.utf8.count >> 8)]) + Data(padded.utf8)
        for index in 0..<count { withUnsafeBytes(of: Int32((index * index + 7 * index + index / 50) % bound).littleEndian) { data.append(contentsOf: $0) } }
        return data
    }
}
