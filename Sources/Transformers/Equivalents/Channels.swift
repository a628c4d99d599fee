// Channels between linears: which are scaled together, and which column reads which.

/// Elements that some linears read as columns, each of which may have a factor that is undone where it is made.
public struct Channels: Sendable, Hashable {
    /// The linears whose columns are to be of one size: those that are compressed.
    public let readers: [Linear]
    public let count: Int
    /// Neighbouring columns that read different channels, and how often the same channels come again: `size` columns for each of `repeats` heads that share them.
    let size: Int
    let repeats: Int

    /// What the factors are known by: a tensor that belongs to these channels alone.
    public var name: String { readers[0].weight }

    public init(readers: [Linear], count: Int, size: Int? = nil) {
        self.readers = readers
        self.count = count
        self.size = size ?? count
        repeats = readers[0].columns / count
    }

    /// The channel that a column reads.
    public func channel(ofColumn column: Int) -> Int { column / (size * repeats) * size + column % size }
}
