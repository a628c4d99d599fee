// The searches for the grids of a group of columns, of some rows each, which threads share.

internal import CKernels
import LinearAlgebra

/// All rows of a tile in sets. A set's rows have the bits that they have in any other: rows are searched each for itself, and those that share a scale stay
/// together.
struct RowSearches: @unchecked Sendable {
    /// Each is used by one thread at a time.
    private let sets: [(rows: Range<Int>, search: GridSearch)]

    /// Rows of a set whose rows are searched each for itself.
    private static let rowsOfSet = Int(cleave_searched_rows)

    /// Parameters are those of `GridSearch`.
    init(_ options: QuantizationOptions, columns: Int, rows: Int, tensorMagnitude: Float) {
        let areAlone = options.strategy == .group || options.strategy == .channel
        sets = (0..<rows).cut(every: areAlone ? Self.rowsOfSet : rows).map { set in
            (set, GridSearch(options, columns: columns, rows: set.count, tensorMagnitude: tensorMagnitude))
        }
    }

    /// See `GridRanges`.
    var clampedScales: Int { sets.reduce(0) { $0 + $1.search.clampedScales } }

    /// As `GridSearch.find`, for all rows.
    func find(_ values: Matrix<Float>, kept: Matrix<UInt8>?, factor: GroupFactor?, scales: Matrix<Float>, zeros: Matrix<Float>) {
        parallelFor(sets.count) { index in
            let (rows, search) = sets[index]
            let isAll = sets.count == 1
            search.find(
                isAll ? values : values.columns(rows).copy(), kept: isAll ? kept : kept?.columns(rows).copy(), factor: factor, scales: scales.columns(rows),
                zeros: zeros.columns(rows))
        }
    }

    /// How much faster the search of a tile is when threads share it.
    static func gain(rows: Int, threads: Int) -> Double {
        let sets = (rows + rowsOfSet - 1) / rowsOfSet
        return Double(sets) / Double((sets + threads - 1) / threads)
    }
}
