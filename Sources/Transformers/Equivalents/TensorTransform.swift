// What becomes of the numbers of a stored tensor in a model of the same function: data.

/// A linear change of both sides of a tensor, as it is stored, or a constant in its place.
///
/// Of three dimensions, the matrices lie one below the other; a tensor of one dimension is a row.
public struct TensorTransform: Sendable, Hashable {
    /// What is done along rows or columns: first the gain and the factors, then the rotation.
    struct Side: Hashable {
        /// The norm whose gain multiplies element after element, from the beginning again in each matrix.
        var gain: Norm?
        /// Of elements that are channels.
        var factors: Factors?
        /// Elements that are rotated together.
        var block = 1
        /// Which are; nil: all.
        var span: Span?
    }

    /// Factors along a side: what makes a channel is multiplied, what reads it is divided.
    struct Factors: Hashable {
        let channels: Channels
        let divides: Bool
        /// Where makers have the channels; nil of readers, and where each element is one.
        var span: Span?

        /// What an element is multiplied with.
        func factor(of index: Int, _ scales: [Double]) -> Double {
            if divides { return 1 / scales[channels.channel(ofColumn: index)] }
            guard let span else { return scales[index] }
            let place = index % span.period - span.first
            return (0..<span.length).contains(place) ? scales[index / span.period * span.length + place] : 1
        }
    }

    /// A run of elements that comes again: in each `period` the `length` from `first` on.
    struct Span: Hashable {
        let first: Int
        let length: Int
        let period: Int
    }

    var rows: Side?
    var columns: Side?
    /// Of a norm whose gain is folded: what leaves its input as it is.
    var constant: Float?
    /// What is added to stored numbers before they are changed, and taken away afterwards.
    var offset: Float?

    /// Both of two changes of one tensor.
    ///
    /// - Returns: nil where they change the same side otherwise.
    func merged(_ other: TensorTransform) -> TensorTransform? {
        func one<Value: Equatable>(_ a: Value?, _ b: Value?) -> Value?? { a == nil || b == nil || a == b ? .some(a ?? b) : nil }
        guard let rows = one(rows, other.rows), let columns = one(columns, other.columns), let constant = one(constant, other.constant),
            let offset = one(offset, other.offset)
        else { return nil }
        return TensorTransform(rows: rows, columns: columns, constant: constant, offset: offset)
    }
}

extension TensorTransform.Side {
    /// The elements that are rotated with this one; itself alone where none are.
    func block(of index: Int) -> Range<Int> {
        let place = span.map { index % $0.period - $0.first } ?? index
        guard block > 1, span.map({ (0..<$0.length).contains(place) }) ?? true else { return index..<index + 1 }
        let start = index - place % block
        return start..<start + block
    }

    /// Runs of whole blocks that cover a range, each of `size` elements or a few more.
    func pieces(_ range: Range<Int>, of size: Int) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = range.isEmpty ? range.upperBound : block(of: range.lowerBound).lowerBound
        while start < range.upperBound {
            let end = block(of: min(start + size, range.upperBound) - 1).upperBound
            pieces.append(start..<end)
            start = end
        }
        return pieces
    }

    /// The blocks of more than one element in a run of whole blocks.
    func blocks(in run: Range<Int>) -> [Range<Int>] {
        var blocks: [Range<Int>] = []
        var start = run.lowerBound
        while block > 1, start < run.upperBound {
            let next = block(of: start)
            if next.count > 1 { blocks.append(next) }
            start = next.upperBound
        }
        return blocks
    }
}
