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
    ///   - pages: where several processes narrow the same columns, each some of their rows.
    init(_ columns: Range<Int>, _ values: Matrix<Float>, of size: Int, in pages: SharedPages? = nil) {
        let parts = Self.cut(columns), shapes = Self.shapes(parts, of: size)
        let matrices = pages?.matrices(of: BFloat16.self, shapes) ?? shapes.map { Matrix(uninitialized: $0.rows, $0.columns) }
        pieces = zip(parts, matrices).map { part, piece in
            let source = values.rows(0..<part.upperBound).columns(part.lowerBound - columns.lowerBound..<part.upperBound - columns.lowerBound)
            narrow(source, into: piece.columns(0..<part.upperBound), share: pages?.place ?? (0, 1))
            return (part, piece)
        }
    }

    /// Those of the pieces of some parts of the columns.
    private static func shapes(_ parts: [Range<Int>], of size: Int) -> [(rows: Int, columns: Int)] {
        parts.map { ($0.count, min($0.lowerBound / pieceColumns * pieceColumns + pieceColumns, size)) }
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
        SharedPages.byteCount(of: BFloat16.self, shapes(cut(0..<columns), of: columns))
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
///   - share: this process takes one unit of so many, from its number on; others take the rest.
private func narrow(_ values: Matrix<Float>, into narrowed: Matrix<BFloat16>, share: (index: Int, count: Int)) {
    let units = (0..<values.rows).cut(every: 256).enumerated().filter { $0.offset % share.count == share.index }.map(\.element)
    parallelFor(units.count) { unit in
        let rows = units[unit]
        let part = Matrix<BFloat16>(uninitialized: rows.count, values.columns)
        convert(values.rows(rows), into: part)
        transpose(part, into: narrowed.columns(rows))
    }
}
