// The tensors of a result while they are listed, each once.

internal import Failures
internal import Models
package import Safetensors

/// Tensors in the order of their files, and where their bytes come from.
package struct OutputTensors {
    /// Of the source, for messages.
    let directory: String
    package private(set) var tensors: [TensorDescription] = []
    package private(set) var origins: [String: TensorOrigin] = [:]

    package init(directory: String) {
        self.directory = directory
    }

    /// - Throws: `PipelineError` where there is a tensor of this name already.
    package mutating func append(_ tensor: TensorDescription, _ origin: TensorOrigin) throws {
        guard origins.updateValue(origin, forKey: tensor.name) == nil else {
            throw PipelineError(.badInput, "\(directory) already holds a tensor named \(tensor.name)")
        }
        tensors.append(tensor)
    }

    /// Consecutive tensors up to a file's size; a larger tensor has a file of its own.
    ///
    /// - Parameter name: of a file, by its place and how many there are.
    func files(
        maxBytes: Int, name: (_ index: Int, _ count: Int) -> String = { $1 > 1 ? ShardIndex.shardName($0 + 1, of: $1) : ShardIndex.singleFileName }
    ) -> [CheckpointContent.File] {
        var groups: [[TensorDescription]] = [[]]
        var bytes = 0
        for tensor in tensors {
            if bytes > 0, bytes + tensor.byteCount > maxBytes {
                groups.append([])
                bytes = 0
            }
            groups[groups.count - 1].append(tensor)
            bytes += tensor.byteCount
        }
        return groups.enumerated().map { CheckpointContent.File(name: name($0, groups.count), metadata: ["format": "pt"], tensors: $1) }
    }
}

extension SourceTensors.Tensor {
    /// Where a result that keeps it has its bytes from.
    func origin(_ name: String) -> TensorOrigin {
        isPlain ? .source(name) : .numbers(name)
    }
}
