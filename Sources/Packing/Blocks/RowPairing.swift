// The order in which llama.cpp has the rows of queries and keys.

/// An order of rows in which those that a rotation pairs are neighbours: llama.cpp rotates pairs (2i, 2i + 1), transformers (i, i + half of the head).
///
/// Source: llama.cpp, `conversion/llama.py`, `permute`.
public struct RowPairing: Sendable, Equatable {
    /// Rows of a head.
    public let headRows: Int

    public init(headRows: Int) { self.headRows = headRows }

    /// The row of transformers' order that comes to each of these places.
    public func sources(_ rows: Range<Int>) -> [Int] {
        rows.map { row in
            let (head, place) = (row / headRows * headRows, row % headRows)
            return head + place % 2 * (headRows / 2) + place / 2
        }
    }

    /// The place to which each of these rows of transformers' order comes.
    public func places(_ rows: Range<Int>) -> [Int] {
        rows.map { row in
            let (head, place) = (row / headRows * headRows, row % headRows)
            return head + place % (headRows / 2) * 2 + place / (headRows / 2)
        }
    }
}
