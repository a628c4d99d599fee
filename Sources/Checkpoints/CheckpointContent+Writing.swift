// Writes the files of tensors of a checkpoint, spread over the ranks.

internal import Failures
internal import LinearAlgebra
package import MessagePassing
package import Models
package import Packing
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
    package func write(
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
        let writer = try writer(of: file, in: directory, source: source.tensors.index.directory)
        do {
            for tensor in writer.descriptions {
                guard let origin = origins[tensor.name] else { throw PipelineError(.internalError, "tensor \(tensor.name) has no origin") }
                try write(tensor, origin, from: source, tile: tile) { try writer.append($0, to: tensor.name) }
            }
            return Manifest.File(file.name, try writer.finish())
        } catch {
            writer.abandon()
            throw error
        }
    }

    private func write(
        _ tensor: TensorDescription, _ origin: TensorOrigin, from source: CheckpointParameters, tile: (_ linear: Int, _ tile: Int) throws -> EncodedTile,
        to sink: TensorSink
    ) throws {
        switch origin {
        case .linear(let index):
            try format.write(tensor.name, of: linears[index], tile: { try tile(index, $0) }, to: sink)
        case .source(let name):
            try source.checkpoint.copy(name, bytes: [0..<tensor.byteCount], append: sink)
        case .parts(let name, let kept):
            let size = tensor.byteCount / max(kept.count, 1)
            try source.checkpoint.copy(name, bytes: kept.map { $0 * size..<($0 + 1) * size }, append: sink)
        case .numbers(let name):
            let shape = try source.tensors.matrixShape(name)
            try write(tensor, shape.rows, shape.columns, to: sink) { try source.tensors.read(name, rows: $0, from: source.checkpoint, into: $1) }
        case .weight(let linear):
            try write(tensor, linear.rows, linear.columns, to: sink) { try source.rows(of: linear, $0, into: $1) }
        case .bias(let linear):
            try write(tensor, 1, linear.rows, to: sink) { try source.bias(of: linear, into: $1) }
        case .rows(let rows):
            try rows.write(as: tensor.type, from: source, to: sink)
        case .latentHalf(let half):
            try half.write(as: tensor.type, from: source, to: sink)
        case .experts(let parts):
            for part in parts { try write(tensor, part, from: source, tile: tile, to: sink) }
        case .constant(let numbers):
            try writeNumbers(Matrix(numbers, 1, numbers.count), as: tensor.type, to: sink)
        }
    }

    /// - Parameter source: the directory of the model, whose tokenizer a GGUF file carries.
    private func writer(of file: File, in directory: String, source: String) throws -> any TensorWriter {
        let path = directory + "/" + file.name
        guard let gguf else { return try SafetensorsWriter(path: path, tensors: file.tensors, metadata: file.metadata) }
        guard let index = files.firstIndex(where: { $0.name == file.name }) else {
            throw PipelineError(.internalError, "\(file.name) is no file of the result")
        }
        let header = try gguf.header(of: index, among: files.count, names: file.tensors.map(\.name), source: source)
        return try GGUFTensorWriter(path: path, header, descriptions: file.tensors)
    }

    /// Writes a tensor row by row as fp32 has it, rounded to the type that it has in the file.
    private func write(
        _ tensor: TensorDescription, _ rows: Int, _ columns: Int, to sink: TensorSink, read: (Range<Int>, Matrix<Float>) throws -> Void
    ) throws {
        let rowsAtOnce = max(1, Self.numbersAtOnce / max(columns, 1))
        for start in stride(from: 0, to: rows, by: rowsAtOnce) {
            let some = start..<min(start + rowsAtOnce, rows)
            let numbers = Matrix<Float>(uninitialized: some.count, columns)
            try read(some, numbers)
            try writeNumbers(numbers, as: tensor.type, to: sink)
        }
    }

    /// In fp32, while they are rounded to the type of the file.
    static let numbersAtOnce = 4 << 20
}
