// The index of a checkpoint that is not there: what its tensors would be.

extension CheckpointIndex {
    /// Tensors one after the other in one file.
    ///
    /// - Parameter directory: a name, for messages.
    public init(planned tensors: [TensorDescription], directory: String) {
        var end = 0
        var places: [String: Tensor] = [:]
        for tensor in tensors {
            places[tensor.name] = Tensor(file: 0, description: tensor, bytes: end..<end + tensor.byteCount)
            end += tensor.byteCount
        }
        self.init(directory: directory, files: [File(name: ShardIndex.singleFileName, byteCount: end, metadata: [:], stamp: nil)], tensors: places)
    }
}
