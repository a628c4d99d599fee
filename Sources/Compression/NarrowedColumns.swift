// Columns of R in bf16, for products with errors in bf16.

import LinearAlgebra

/// Some columns of R, transposed and in bf16, down to the diagonal and no further.
///
/// They lie in pieces that end at fixed columns of R, each piece as wide in memory as it is long: a product has the same shape and strides, and so the
/// same bits, for columns that came alone as for those of a complete factor.
struct NarrowedColumns: Sendable {
    private static let pieceColumns = ColumnRanges.panelColumns
    /// By the columns of R that they hold: [columns, to the end of the piece in a complete factor]
    private let pieces: [(columns: Range<Int>, values: Matrix<BFloat16>)]

    /// - Parameters:
    ///   - values: the columns of R: [columns.upperBound, columns.count]
    ///   - size: columns of R.
    init(_ columns: Range<Int>, _ values: Matrix<Float>, of size: Int) {
        pieces = Self.cut(columns).map { part in
            let end = min(part.lowerBound / Self.pieceColumns * Self.pieceColumns + Self.pieceColumns, size)
            let piece = Matrix<BFloat16>(uninitialized: part.count, end)
            let source = values.rows(0..<part.upperBound).columns(part.lowerBound - columns.lowerBound..<part.upperBound - columns.lowerBound)
            narrow(source, into: piece.columns(0..<part.upperBound))
            return (part, piece)
        }
    }

    /// sums = E(from) R(from, columns)
    /// - Parameters:
    ///   - errors: [columns of R, lanes]
    ///   - sums: [columns.count, lanes]
    func gather(_ errors: Matrix<BFloat16>, _ from: Range<Int>, for columns: Range<Int>, into sums: Matrix<Float>) {
        for part in Self.cut(columns) {
            guard let piece = pieces.first(where: { $0.columns.lowerBound <= part.lowerBound && part.upperBound <= $0.columns.upperBound }) else {
                preconditionFailure("columns \(part) of R are not narrowed")
            }
            // Below the piece there are zeros.
            let filled = from.clamped(to: 0..<piece.columns.upperBound)
            let r = piece.values.rows(part.lowerBound - piece.columns.lowerBound..<part.upperBound - piece.columns.lowerBound).columns(filled)
            multiply(r, errors.rows(filled), into: sums.rows(part.lowerBound - columns.lowerBound..<part.upperBound - columns.lowerBound))
        }
    }

    /// Bytes of those of a complete factor.
    static func byteCount(columns: Int) -> Int {
        cut(0..<columns).reduce(0) { $0 + $1.count * $1.upperBound * MemoryLayout<BFloat16>.stride }
    }

    private static func cut(_ columns: Range<Int>) -> [Range<Int>] {
        guard !columns.isEmpty else { return [] }
        let numbers = columns.lowerBound / pieceColumns...(columns.upperBound - 1) / pieceColumns
        return numbers.map { columns.clamped(to: $0 * pieceColumns..<($0 + 1) * pieceColumns) }
    }
}

/// - Parameters:
///   - values: [rows, columns]
///   - narrowed: the same in bf16 and transposed: [columns, rows]
private func narrow(_ values: Matrix<Float>, into narrowed: Matrix<BFloat16>) {
    parallelFor(values.rows, inUnitsOf: 256) { rows in
        let part = Matrix<BFloat16>(uninitialized: rows.count, values.columns)
        convert(values.rows(rows), into: part)
        transpose(part, into: narrowed.columns(rows))
    }
}
