// Tensors from a checkpoint into a file that is being written.

extension Checkpoint {
    /// Hands out a tensor's bytes in pieces, such as a writer takes.
    /// - Throws: as `withBytes`, and what `append` throws
    public func copy(_ name: String, byteCount: Int, append: (UnsafeRawBufferPointer) throws -> Void) throws {
        let piece = 8 << 20  // bytes at a time
        for start in stride(from: 0, to: byteCount, by: piece) {
            try withBytes(of: name, bytes: start..<min(start + piece, byteCount), append)
        }
    }
}
