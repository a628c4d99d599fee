// Tensors from a checkpoint into a file that is being written.

extension Checkpoint {
    /// Hands out some bytes of a tensor, range after range, in pieces such as a writer takes.
    /// - Throws: as `withBytes`, and what `append` throws
    public func copy(_ name: String, bytes: [Range<Int>], append: (UnsafeRawBufferPointer) throws -> Void) throws {
        let piece = 8 << 20  // bytes at a time
        for range in bytes {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: piece) {
                try withBytes(of: name, bytes: start..<min(start + piece, range.upperBound), append)
            }
        }
    }
}
