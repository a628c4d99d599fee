// Ranges cut into pieces of a fixed width: of rows, columns or tokens.

extension Range<Int> {
    /// The range in pieces of `width`, the last one perhaps shorter.
    package func cut(every width: Int) -> [Range<Int>] {
        stride(from: lowerBound, to: upperBound, by: width).map { $0..<Swift.min($0 + width, upperBound) }
    }
}
