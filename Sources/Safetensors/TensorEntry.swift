// A tensor of one file: what it is, and where its data lies.

/// A tensor and where its data lies in the file.
public struct TensorEntry: Sendable, Equatable {
    public let description: TensorDescription
    /// Counted from the start of the file.
    public let bytes: Range<Int>

    public var name: String { description.name }
}
