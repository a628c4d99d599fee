// A tile's weights as the column loop wants them: transposed, in the order of quantization, rows padded to whole sets of lanes.

internal import CKernels
import LinearAlgebra

struct Tile {
    /// [columns, lanes]; dead columns and the padding are zero.
    let weights: Matrix<Float>
    /// Position in the order of quantization -> column; nil when they are the same.
    let permutation: [Int]?
    /// Rows of the tile; `lanes` is `rows` rounded up.
    let rows: Int

    var columns: Int { weights.rows }
    var lanes: Int { weights.columns }

    /// - Parameter original: [rows, columns]
    init(_ original: Matrix<Float>, permutation: [Int]?, deadColumns: [Int]) throws(CompressionError) {
        for row in 0..<original.rows {
            let values = UnsafeBufferPointer(start: original.row(row), count: original.columns)
            // 0 x is NaN for every x that is not finite.
            guard values.reduce(0, { $0 + 0 * $1 }) != 0 else { continue }
            throw .weightsNotFinite(row: row, column: values.firstIndex { !$0.isFinite } ?? 0)
        }
        rows = original.rows
        self.permutation = permutation
        let lanes = (rows + Int(cleave_lanes) - 1) / Int(cleave_lanes) * Int(cleave_lanes)
        weights = Matrix(repeating: 0, original.columns, lanes)
        let dead = Set(deadColumns)
        for position in 0..<columns {
            let column = permutation?[position] ?? position
            guard !dead.contains(column) else { continue }
            let target = weights.row(position)
            for row in 0..<rows { target[row] = original.base[row * original.stride + column] }
        }
    }

    /// Codes of the real rows in the original order of columns: [columns, lanes] -> [rows, columns].
    func original(_ codes: Matrix<UInt8>) -> Matrix<UInt8> {
        let result = Matrix<UInt8>(uninitialized: rows, columns)
        for position in 0..<columns {
            let column = permutation?[position] ?? position
            let source = codes.row(position)
            for row in 0..<rows { result.base[row * columns + column] = source[row] }
        }
        return result
    }

    /// Grid parameters of the real rows: [groups, lanes] -> [rows, groups].
    func byRow<Element>(_ parameters: Matrix<Float>, _ convert: (Float) -> Element) -> Matrix<Element> {
        let result = Matrix<Element>(uninitialized: rows, parameters.rows)
        for row in 0..<rows { for group in 0..<parameters.rows { result[row, group] = convert(parameters[group, row]) } }
        return result
    }
}
