// Where the entries of each row begin, in tensors that are as long as the weights make them.

extension EncodedTile {
    /// Writes the offset at which each row's entries end, in Int32; before those of a linear's first tile a 0.
    ///
    /// - Parameter first: the entries before the tile; afterwards those before the next.
    func writeOffsets(from first: inout Int, isFirst: Bool, to sink: TensorSink) throws {
        var offsets: [Int32] = isFirst ? [0] : []
        for count in entryCounts ?? [] {
            first += Int(count)
            offsets.append(Int32(truncatingIfNeeded: first).littleEndian)
        }
        try offsets.withUnsafeBytes(sink)
    }
}
