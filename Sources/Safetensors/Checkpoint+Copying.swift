// Tensors from a checkpoint into a file that is being written.

extension Checkpoint {
    /// Appends a tensor to a file, in pieces.
    /// - Parameters:
    ///   - name: of the tensor here
    ///   - tensor: what it is in the file: of the same size
    /// - Throws: as `withBytes` and `SafetensorsWriter.append`
    public func copy(_ name: String, to writer: SafetensorsWriter, as tensor: TensorDescription) throws {
        try copy(name, bytes: [0..<tensor.byteCount], to: writer, as: tensor)
    }

    /// Appends some bytes of a tensor, range after range.
    public func copy(_ name: String, bytes: [Range<Int>], to writer: SafetensorsWriter, as tensor: TensorDescription) throws {
        let piece = 8 << 20  // bytes at a time
        for range in bytes {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: piece) {
                try withBytes(of: name, bytes: start..<min(start + piece, range.upperBound)) { try writer.append($0, to: tensor.name) }
            }
        }
    }
}
