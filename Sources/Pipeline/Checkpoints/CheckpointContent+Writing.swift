// Writes the files of tensors of a checkpoint, spread over the ranks.

internal import LinearAlgebra
internal import MessagePassing
internal import Packing
internal import Safetensors
internal import Sharding
internal import Transformers

extension CheckpointContent {
    /// Writes this rank's share of the files, each whole or not at all. Memory is bounded by one tensor.
    ///
    /// - Parameters:
    ///   - source: holds the tensors that keep their numbers.
    ///   - tile: an encoded tile, by the indices of its linear and of itself in it.
    /// - Returns: the files that this rank wrote.
    func write(
        to directory: String, from source: CheckpointParameters, world: Communicator, tile: (_ linear: Int, _ tile: Int) throws -> EncodedTile
    ) throws -> [Manifest.File] {
        let assignment = Assignment(ranks: world.size)
        return try world.together(exitCode: exitCode) { () throws in
            try files.enumerated().filter { assignment.writer(ofShard: $0.offset) == world.rank }.map {
                try write($0.element, to: directory, from: source, tile: tile)
            }
        }
    }

    private func write(
        _ file: File, to directory: String, from source: CheckpointParameters, tile: (_ linear: Int, _ tile: Int) throws -> EncodedTile
    ) throws -> Manifest.File {
        let writer = try SafetensorsWriter(path: directory + "/" + file.name, tensors: file.tensors, metadata: file.metadata)
        do {
            for entry in writer.entries {
                switch origins[entry.name] {
                case .linear(let index):
                    try format.write(entry.name, of: linears[index], tile: { try tile(index, $0) }) { try writer.append($0, to: entry.name) }
                case .source(let name):
                    try source.checkpoint.copy(name, to: writer, as: entry.description)
                case .parts(let name, let kept):
                    let size = entry.description.byteCount / max(kept.count, 1)
                    try source.checkpoint.copy(name, bytes: kept.map { $0 * size..<($0 + 1) * size }, to: writer, as: entry.description)
                case .numbers(let name):
                    let shape = try source.tensors.matrixShape(name)
                    try write(entry, shape.rows, shape.columns, to: writer) { try source.tensors.read(name, rows: $0, from: source.checkpoint, into: $1) }
                case .weight(let linear):
                    try write(entry, linear.rows, linear.columns, to: writer) { try source.rows(of: linear, $0, into: $1) }
                case .bias(let linear):
                    try write(entry, 1, linear.rows, to: writer) { try source.bias(of: linear, into: $1) }
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

    /// Writes a tensor row by row as fp32 has it, rounded to the type that it has in the file.
    private func write(
        _ entry: TensorEntry, _ rows: Int, _ columns: Int, to writer: SafetensorsWriter, read: (Range<Int>, Matrix<Float>) throws -> Void
    ) throws {
        let rowsAtOnce = max(1, Self.numbersAtOnce / max(columns, 1))
        for start in stride(from: 0, to: rows, by: rowsAtOnce) {
            let some = start..<min(start + rowsAtOnce, rows)
            let numbers = Matrix<Float>(uninitialized: some.count, columns)
            try read(some, numbers)
            try writeNumbers(numbers, as: entry.description.type) { try writer.append($0, to: entry.name) }
        }
    }

    private static let numbersAtOnce = 4 << 20
}
