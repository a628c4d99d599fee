// The rows of a linear's weight that a rank holds for its pieces.

internal import LinearAlgebra
internal import Packing
internal import Transformers

/// Some rows of a weight, in runs without gaps.
struct LinearRows: Sendable {
    private(set) var runs: [(rows: Range<Int>, weight: Operand)]
    /// Of all rows.
    var bias: [Float]?

    /// Room for the rows of some parts of pieces.
    init(_ parts: [Range<Int>], columns: Int, compute: Compute) {
        let merged = parts.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: [Range<Int>]()) { merged, part in
            if let last = merged.last, last.upperBound == part.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<part.upperBound
            } else {
                merged.append(part)
            }
        }
        runs = merged.map { ($0, Operand(uninitialized: compute, $0.count, columns)) }
    }

    /// The weights of one of the parts.
    func weights(_ rows: Range<Int>) -> LinearWeights {
        guard let weight = window(rows) else { preconditionFailure("rows \(rows) of \(runs.map(\.rows))") }
        return LinearWeights(weight: weight, bias: bias.map { Array($0[rows]) })
    }

    /// The place of rows that are all here; else nil.
    func window(_ rows: Range<Int>) -> Operand? {
        guard let run = runs.first(where: { $0.rows.lowerBound <= rows.lowerBound && rows.upperBound <= $0.rows.upperBound }) else { return nil }
        return run.weight.rows(rows.lowerBound - run.rows.lowerBound..<rows.upperBound - run.rows.lowerBound)
    }

    /// The rows of a range that are here: where they are in the range, and their place.
    func overlaps(_ rows: Range<Int>) -> [(within: Range<Int>, place: Operand)] {
        runs.compactMap { run in
            let common = run.rows.clamped(to: rows)
            guard !common.isEmpty, let place = window(common) else { return nil }
            return (common.lowerBound - rows.lowerBound..<common.upperBound - rows.lowerBound, place)
        }
    }

    /// Takes in what tiles hold of the rows that are here, over the rank's threads; tile by tile, so that no fp32 copy of all exists where products take bf16.
    func decode(_ tiles: [(tile: EncodedTile, rows: Range<Int>)]) {
        let needed = tiles.filter { !overlaps($0.rows).isEmpty }
        parallelFor(needed.count) { position in
            let (tile, range) = needed[position]
            if case .f32(let weight)? = window(range) { return tile.dequantize(into: weight) }
            let values = Matrix<Float>(uninitialized: range.count, tile.layout.columns)
            tile.dequantize(into: values)
            for (within, place) in overlaps(range) { place.store(values.rows(within)) }
        }
    }
}
