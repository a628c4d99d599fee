// The tensors of a result while they are listed, each once.

internal import Safetensors

/// Tensors in the order of their files, and where their bytes come from.
struct OutputTensors {
    /// Of the source, for messages.
    let directory: String
    private(set) var tensors: [TensorDescription] = []
    private(set) var origins: [String: TensorOrigin] = [:]

    init(directory: String) {
        self.directory = directory
    }

    /// - Throws: `PipelineError` where there is a tensor of this name already.
    mutating func append(_ tensor: TensorDescription, _ origin: TensorOrigin) throws {
        guard origins.updateValue(origin, forKey: tensor.name) == nil else {
            throw PipelineError(.badInput, "\(directory) already holds a tensor named \(tensor.name)")
        }
        tensors.append(tensor)
    }
}

extension SourceTensors.Tensor {
    /// Where a result that keeps it has its bytes from.
    func origin(_ name: String) -> TensorOrigin {
        if case .plain = storage, transformed == nil { .source(name) } else { .numbers(name) }
    }
}
