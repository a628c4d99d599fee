// model.safetensors.index.json beside one sound shard, and the index as ranks send it to each other.

import Safetensors

extension FuzzTarget {
    static let index = FuzzTarget(name: "index") { bytes in
        let path = Scratch.write(bytes, to: "\(directory)/\(ShardIndex.fileName)")
        expecting(SafetensorsError.self) {
            for file in try ShardIndex(path: path).weightMap.values {
                claim(!file.utf8.contains(UInt8(ascii: "/")) && !file.utf8.contains(0), "\(file) leads out of the directory")
            }
        }
        expecting(SafetensorsError.self) {
            let index = try CheckpointIndex(directory: "\(Scratch.folder)/\(directory)")
            let copy = try CheckpointIndex(encoded: index.encoded())
            claim(copy == index, "the index changes on its way")
        }
        expecting(SafetensorsError.self) {
            let index = try CheckpointIndex(encoded: bytes)
            claim(index.tensors.values.allSatisfy { $0.bytes.upperBound <= index.files[$0.file].byteCount }, "a tensor outside its file")
        }
    }

    /// A checkpoint folder with one shard, which holds the tensors `a` and `b`.
    private static let directory: String = {
        let name = "checkpoint"
        let path = Scratch.makeFolder(name)
        do {
            let tensors = try ["a", "b"].map { try TensorDescription(name: $0, type: .u8, shape: [2]) }
            let writer = try SafetensorsWriter(path: "\(path)/\(ShardIndex.shardName(1, of: 1))", tensors: tensors)
            for tensor in tensors { try [UInt8(1), 2].withUnsafeBytes { try writer.append($0, to: tensor.name) } }
            _ = try writer.finish()
        } catch {
            fatalError("\(error)")
        }
        return name
    }()
}
