// Writes the files of tensors of a checkpoint, spread over the ranks.

internal import MessagePassing
internal import Packing
internal import Safetensors
internal import Sharding

extension CheckpointContent {
    /// Writes this rank's share of the files, each whole or not at all. Memory is bounded by one tensor.
    ///
    /// - Parameters:
    ///   - source: holds the tensors that stay as they are.
    ///   - tile: an encoded tile, by the indices of its linear and of itself in it.
    /// - Returns: the files that this rank wrote.
    func write(
        to directory: String, from source: Checkpoint, world: Communicator, tile: (_ linear: Int, _ tile: Int) throws -> EncodedTile
    ) throws -> [Manifest.File] {
        let assignment = Assignment(ranks: world.size)
        return try world.together(exitCode: exitCode) { () throws in
            try files.enumerated().filter { assignment.writer(ofShard: $0.offset) == world.rank }.map {
                try write($0.element, to: directory, from: source, tile: tile)
            }
        }
    }

    private func write(
        _ file: File, to directory: String, from source: Checkpoint, tile: (_ linear: Int, _ tile: Int) throws -> EncodedTile
    ) throws -> Manifest.File {
        let writer = try SafetensorsWriter(path: directory + "/" + file.name, tensors: file.tensors, metadata: file.metadata)
        do {
            for entry in writer.entries {
                switch origins[entry.name] {
                case .linear(let index):
                    try format.write(entry.name, of: linears[index], tile: { try tile(index, $0) }) { try writer.append($0, to: entry.name) }
                case .source:
                    try source.copy(entry.description, to: writer)
                case nil:
                    throw PipelineError(.internalError, "tensor \(entry.name) has no origin")
                }
            }
            return Manifest.File(file.name, try writer.finish())
        } catch {
            writer.abandon()
            throw error
        }
    }
}
