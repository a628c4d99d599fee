// A tile's weights as the column loop wants them: transposed, in the order of quantization, rows padded to whole sets of lanes.

internal import CKernels
import LinearAlgebra

struct Tile {
    /// [columns, lanes]; the padding is zero.
    let weights: Matrix<Float>
    /// Position in the order of quantization -> column; nil when they are the same.
    let permutation: [Int]?
    /// Column -> position in the order of quantization.
    private let positions: [Int]
    /// Rows of the tile; `lanes` is `rows` rounded up.
    let rows: Int

    var columns: Int { weights.rows }
    var lanes: Int { weights.columns }

    /// - Parameter original: [rows, columns]
    init(_ original: Matrix<Float>, permutation: [Int]?) throws(CompressionError) {
        for row in 0..<original.rows {
            guard !cleave_max_magnitude_f32(original.row(row), original.columns).isFinite else { continue }
            let values = UnsafeBufferPointer(start: original.row(row), count: original.columns)
            throw .weightsNotFinite(row: row, column: values.firstIndex { !$0.isFinite } ?? 0)
        }
        rows = original.rows
        self.permutation = permutation
        let lanes = (rows + Int(cleave_lanes) - 1) / Int(cleave_lanes) * Int(cleave_lanes)
        weights = rows == lanes ? Matrix(uninitialized: original.columns, lanes) : Matrix(repeating: 0, original.columns, lanes)
        positions = Self.positions(permutation, columns: original.columns)
        positions.withUnsafeBufferPointer { positions in
            forEachBlock { row, columns in
                let values = original.row(row), target = weights.base + row
                for column in columns { target[positions[column] * lanes] = values[column] }
            }
        }
    }

    /// Codes or values of the real rows in the original order of columns: [columns, lanes] -> [rows, columns].
    func original<Element>(_ elements: Matrix<Element>) -> Matrix<Element> {
        let result = Matrix<Element>(uninitialized: rows, columns)
        positions.withUnsafeBufferPointer { positions in
            forEachBlock { row, columns in
                let target = result.row(row), values = elements.base + row
                for column in columns { target[column] = values[positions[column] * lanes] }
            }
        }
        return result
    }

    /// Visits each row's columns a cache line at a time, so that neither side of a transposition leaves the cache too early.
    private func forEachBlock(_ body: (Int, Range<Int>) -> Void) {
        for columns in (0..<columns).cut(every: 16) { for row in 0..<rows { body(row, columns) } }
    }

    private static func positions(_ permutation: [Int]?, columns: Int) -> [Int] {
        guard let permutation else { return Array(0..<columns) }
        var result = [Int](repeating: 0, count: columns)
        for (position, column) in permutation.enumerated() { result[column] = position }
        return result
    }

    /// Grid parameters of the real rows: [groups, lanes] -> [rows, groups].
    func byRow<Element>(_ parameters: Matrix<Float>, _ convert: (Float) -> Element) -> Matrix<Element> {
        let result = Matrix<Element>(uninitialized: rows, parameters.rows)
        for row in 0..<rows { for group in 0..<parameters.rows { result[row, group] = convert(parameters[group, row]) } }
        return result
    }
}
