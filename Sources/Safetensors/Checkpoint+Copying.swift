// Tensors from a checkpoint into a file that is being written.

extension Checkpoint {
    /// Appends a tensor to a file, in pieces.
    /// - Parameters:
    ///   - name: of the tensor here
    ///   - tensor: what it is in the file: of the same size
    /// - Throws: as `withBytes` and `SafetensorsWriter.append`
    public func copy(_ name: String, to writer: SafetensorsWriter, as tensor: TensorDescription) throws {
        let piece = 8 << 20  // bytes at a time
        for start in stride(from: 0, to: tensor.byteCount, by: piece) {
            try withBytes(of: name, bytes: start..<min(start + piece, tensor.byteCount)) { try writer.append($0, to: tensor.name) }
        }
    }
}
