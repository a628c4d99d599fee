// Tensors from a checkpoint into a file that is being written.

extension Checkpoint {
    /// Appends a tensor to a file, in pieces.
    /// - Throws: as `withBytes` and `SafetensorsWriter.append`
    public func copy(_ tensor: TensorDescription, to writer: SafetensorsWriter) throws {
        let piece = 8 << 20  // bytes at a time
        for start in stride(from: 0, to: tensor.byteCount, by: piece) {
            try withBytes(of: tensor.name, bytes: start..<min(start + piece, tensor.byteCount)) { try writer.append($0, to: tensor.name) }
        }
    }
}
